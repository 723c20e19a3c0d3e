package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// rude is an engine whose every word wants to be a page: its log is $RUDE_LOG, its answers $RUDE_TEXT, what it refuses with
// $RUDE_ERROR. With $RUDE_END it says that and ends.
func rude() {
	fmt.Println(os.Getenv("RUDE_LOG"))
	fmt.Println("\x1b[31m" + os.Getenv("RUDE_LOG") + "\x1b]8;;javascript:owned()\x07link\x1b]8;;\x07\x1b[0m")
	if end := os.Getenv("RUDE_END"); end != "" {
		fmt.Fprintln(os.Stderr, end)
		os.Exit(3)
	}
	http.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		if strings.Contains(string(asked), "refuse") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": os.Getenv("RUDE_ERROR"), "type": os.Getenv("RUDE_ERROR"), "code": os.Getenv("RUDE_ERROR")}})
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Served-By", os.Getenv("RUDE_TEXT"))
		for _, piece := range append(strings.SplitAfter(os.Getenv("RUDE_TEXT"), " "), "") {
			delta := map[string]any{"content": piece, "reasoning_content": piece}
			text, _ := json.Marshal(map[string]any{"id": "c", "object": "chat.completion.chunk", "model": os.Getenv("RUDE_TEXT"), "choices": []any{map[string]any{"index": 0, "delta": delta}}})
			fmt.Fprintf(w, "data: %s\n\n", text)
			_ = http.NewResponseController(w).Flush()
		}
		fmt.Fprint(w, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\ndata: [DONE]\n\n")
	})
}

// Command polyglot is an engine that offers every route there is and says what it got: polyglot PORT. On one port
// it speaks HTTP/1.1, HTTP/2 without TLS, websockets and gRPC.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	calls := grpc.NewServer()
	calls.RegisterService(&grpc.ServiceDesc{
		ServiceName: "polyglot.Engine", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Talk", Handler: talk, ServerStreams: true, ClientStreams: true}},
	}, nil)
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v1/realtime", realtime)
	mux.HandleFunc("/v1/audio/transcriptions", upload(func(name string, n int64, sum string) any {
		return map[string]any{"text": fmt.Sprintf("%s %d %s", name, n, sum)}
	}))
	mux.HandleFunc("/v1/images/edits", upload(func(_ string, n int64, sum string) any {
		return map[string]any{"created": 1, "data": []any{map[string]any{"b64_json": sum}}}
	}))
	mux.HandleFunc("/v1/audio/speech", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/wav")
		for i := range 64 {
			_, _ = w.Write([]byte(strings.Repeat(string(rune(i)), 1000)))
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("/v1/embeddings", answer(map[string]any{
		"object": "list", "model": "m", "data": []any{map[string]any{"object": "embedding", "index": 0, "embedding": []float64{0.5, -1}}},
		"usage": map[string]any{"prompt_tokens": 3, "total_tokens": 3},
	}))
	mux.HandleFunc("/v1/rerank", answer(map[string]any{"results": []any{map[string]any{"index": 0, "relevance_score": 0.9}}}))
	mux.HandleFunc("/", echo)
	server := &http.Server{Addr: ":" + os.Args[1], Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			calls.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
}

// talk answers each message with one, and says which metadata came.
func talk(_ any, s grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	s.SetTrailer(metadata.Pairs("mine", strings.Join(md.Get("mine"), ","), "had-token", fmt.Sprint(len(md.Get("authorization")) > 0)))
	for {
		var in wrapperspb.StringValue
		if err := s.RecvMsg(&in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.SendMsg(wrapperspb.String("you said " + in.Value)); err != nil {
			return err
		}
	}
}

func realtime(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for {
		kind, b, err := conn.Read(r.Context())
		if err != nil || conn.Write(r.Context(), kind, b) != nil {
			return
		}
	}
}

// upload reads a form as it comes, and says what file was in it.
func upload(say func(name string, n int64, sum string) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		form, err := r.MultipartReader()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		name, sum, n := "", sha256.New(), int64(0)
		for {
			var part *multipart.Part
			if part, err = form.NextPart(); err != nil {
				break
			}
			if part.FileName() != "" {
				name = part.FileName()
				n, err = io.Copy(sum, part)
			}
			if err != nil {
				break
			}
		}
		if !errors.Is(err, io.EOF) {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(say(name, n, fmt.Sprintf("%x", sum.Sum(nil))))(w, r)
	}
}

func answer(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		return
	}
	answer(map[string]any{
		"method": r.Method, "uri": r.RequestURI, "bytes": n, "sum": fmt.Sprintf("%x", sum.Sum(nil)), "request": r.Header.Get("X-Request-Id"),
		"trace": r.Header.Get("Traceparent"), "token": r.Header.Get("Authorization") + r.Header.Get("X-Api-Key"),
	})(w, r)
}

package door_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
)

func newRequest(method, url, body string) (*http.Request, *httptest.ResponseRecorder) {
	return httptest.NewRequest(method, url, strings.NewReader(body)), httptest.NewRecorder()
}

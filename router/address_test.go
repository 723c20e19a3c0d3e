package router

import (
	"strings"
	"testing"
)

func TestFoldHost(t *testing.T) {
	for name, want := range map[string]string{
		"glm-5.2-fp8":                   "glm-5-2-fp8",
		"my_app!name":                   "my-app-name",
		"--foo--":                       "foo",
		"Foo":                           "foo",
		"a..b__c":                       "a-b-c",
		"日本":                            "",
		"é-x":                           "x",
		"":                              "",
		strings.Repeat("a", 70):         strings.Repeat("a", 63),
		strings.Repeat("a", 62) + "..b": strings.Repeat("a", 62),
	} {
		if got := FoldHost(name); got != want {
			t.Errorf("FoldHost(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzFoldHost(f *testing.F) {
	f.Add("my_app!name")
	f.Fuzz(func(t *testing.T, name string) {
		got := FoldHost(name)
		if len(got) > 63 || strings.Contains(got, "--") || strings.Trim(got, "-") != got || strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("FoldHost(%q) = %q is no label", name, got)
		}
		if again := FoldHost(got); again != got {
			t.Errorf("folding %q twice gives %q", got, again)
		}
	})
}

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		domain, host, path string
		want               Address
	}{
		{"", "x", "/v1/chat/completions", Address{Kind: ByModel, Path: "/v1/chat/completions"}},
		{"", "x", "/v1", Address{Kind: ByModel, Path: "/v1"}},
		{"", "x", "/v1x", Address{}},
		{"", "x", "/", Address{}},
		{"", "x", "/services/hello/v1/models", Address{Kind: ByName, Name: "hello", Prefix: "/services/hello", Path: "/v1/models"}},
		{"", "x", "/services/hello", Address{Kind: ByName, Name: "hello", Prefix: "/services/hello", Path: "/"}},
		{"", "x", "/services/hello/", Address{Kind: ByName, Name: "hello", Prefix: "/services/hello", Path: "/"}},
		{"", "x", "/services/hello//a//b/", Address{Kind: ByName, Name: "hello", Prefix: "/services/hello", Path: "//a//b/"}},
		{"", "x", "/services/hello/a%2Fb%20c", Address{Kind: ByName, Name: "hello", Prefix: "/services/hello", Path: "/a%2Fb%20c"}},
		{"", "x", "/services/h%65llo/x", Address{Kind: ByName, Name: "hello", Prefix: "/services/h%65llo", Path: "/x"}},
		{"", "x", "/services/a%2Fb/x", Address{Kind: ByName, Name: "a/b", Prefix: "/services/a%2Fb", Path: "/x"}},
		{"", "x", "/services/../api", Address{Kind: ByName, Name: "..", Prefix: "/services/..", Path: "/api"}},
		{"", "x", "/services/", Address{Kind: ByName, Name: "", Prefix: "/services/", Path: "/"}},
		{"", "x", "/Services/hello/", Address{}},
		{"example.org", "hello.example.org", "/v1/models", Address{Kind: ByHost, Name: "hello", Path: "/v1/models"}},
		{"example.org", "HELLO.Example.Org.:8443", "/any", Address{Kind: ByHost, Name: "hello", Path: "/any"}},
		{"example.org", "example.org", "/v1/models", Address{Kind: ByModel, Path: "/v1/models"}},
		{"example.org", "a.b.example.org", "/v1/models", Address{Kind: ByModel, Path: "/v1/models"}},
		{"example.org", ".example.org", "/x", Address{}},
		{"example.org", "notexample.org", "/x", Address{}},
		{"example.org", "[::1]:80", "/x", Address{}},
	} {
		if got := ParseAddress(c.domain, c.host, c.path); got != c.want {
			t.Errorf("ParseAddress(%q, %q, %q) = %+v, want %+v", c.domain, c.host, c.path, got, c.want)
		}
	}
}

func TestClimbs(t *testing.T) {
	for path, want := range map[string]bool{
		"/v1/chat":             false,
		"/a.b/..c/d..":         false,
		"/a%2Fb":               false,
		"/...":                 false,
		"/..":                  true,
		"/a/../b":              true,
		"/a/./b":               true,
		"/%2e%2e/b":            true,
		"/a/%2E%2e%2Fb":        true,
		"/a/..%2fb":            true,
		"/a/..%5cb":            true,
		`/a/..\b`:              true,
		"/a%zz":                true,
		"/%252e%252e/is-plain": false,
	} {
		if got := climbs(path); got != want {
			t.Errorf("climbs(%q) = %v", path, got)
		}
	}
}

func FuzzAddressKeepsThePath(f *testing.F) {
	f.Add("hello", "/a%2fb//c")
	f.Add("..", "/../x")
	f.Fuzz(func(t *testing.T, name, path string) {
		if strings.ContainsAny(name, "/%") || !strings.HasPrefix(path, "/") {
			return
		}
		a := ParseAddress("", "h", "/services/"+name+path)
		if a.Kind != ByName || a.Name != name || a.Prefix+a.Path != "/services/"+name+path {
			t.Errorf("%q %q became %+v", name, path, a)
		}
	})
}

func TestRelocate(t *testing.T) {
	for _, c := range []struct{ location, want string }{
		{"/docs", "/services/a/docs"},
		{"/docs?x=/y#z", "/services/a/docs?x=/y#z"},
		{"docs", "docs"},
		{"http://box:8080/docs/%2F", "/services/a/docs/%2F"},
		{"https://box:8080", "/services/a/"},
		{"//box:8080/x", "/services/a/x"},
		{"https://elsewhere/x", "https://elsewhere/x"},
		{"mailto:a@b", "mailto:a@b"},
		{"http://box:8080:bad/x", "http://box:8080:bad/x"},
	} {
		if got := relocate(c.location, "/services/a", "box:8080"); got != c.want {
			t.Errorf("relocate(%q) = %q, want %q", c.location, got, c.want)
		}
	}
	if got := relocate("/docs", "", "box"); got != "/docs" {
		t.Errorf("without a prefix: %q", got)
	}
}

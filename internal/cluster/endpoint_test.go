package cluster

import "testing"

func TestParseURL(t *testing.T) {
	for text, want := range map[string]target{
		"https://10.0.0.1:7470": {"tcp", "10.0.0.1:7470", "https://10.0.0.1:7470"},
		"http://10.0.0.1:7470/": {"tcp", "10.0.0.1:7470", "https://10.0.0.1:7470"},
		"10.0.0.1:1":            {"tcp", "10.0.0.1:1", "https://10.0.0.1:1"},
		"example.org":           {"tcp", "example.org:7470", "https://example.org:7470"},
		"https://[2001:db8::1]": {"tcp", "[2001:db8::1]:7470", "https://[2001:db8::1]:7470"},
		"unix:/run/x.sock":      {"unix", "/run/x.sock", "https://orchestrator.freeflow.internal"},
		"unix:///run/x.sock":    {"unix", "/run/x.sock", "https://orchestrator.freeflow.internal"},
		"":                      {},
		"ftp://a":               {},
		"unix:x":                {},
		"https://a/path":        {},
		"https://user@a":        {},
		"https://a?x":           {},
		"https://":              {},
		"2001:db8::1":           {},
		"https://a:port":        {},
	} {
		got, err := parseURL(text)
		if got != want || (err == nil) != (want != target{}) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("https://[::1]:7470")
	f.Add("unix:///x")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseURL(text)
		if err == nil && (got.address == "" || got.base == "") {
			t.Fatalf("%q: %+v", text, got)
		}
	})
}

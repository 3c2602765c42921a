package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w
}

func TestPageAndItsFiles(t *testing.T) {
	page := get(t, "/", nil)
	if page.Code != http.StatusOK || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") {
		t.Fatal(page.Code, page.Header())
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1) {
		f := get(t, m[1], nil)
		if f.Code != http.StatusOK || f.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %s", m[1], f.Code, f.Header().Get("Content-Type"))
		}
		again := get(t, m[1], func(r *http.Request) { r.Header.Set("If-None-Match", f.Header().Get("ETag")) })
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s again: %d, %d bytes", m[1], again.Code, again.Body.Len())
		}
	}
	for _, path := range []string{"/none", "/assets/", "/assets/../web.go", "/assets/index.html", "/index.html"} {
		if got := get(t, path, nil); got.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
	w := httptest.NewRecorder()
	if Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", http.NoBody)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestHeaders(t *testing.T) {
	for _, path := range []string{"/", "/assets/main.js", "/none"} {
		h := get(t, path, nil).Header()
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Contains(csp, "http") {
			t.Errorf("%s: %s", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// Nothing in the files is from elsewhere, and nothing makes markup or code of text.
func TestFilesStandAlone(t *testing.T) {
	names, err := files.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		text, err := files.ReadFile("assets/" + n.Name())
		if err != nil {
			t.Fatal(err)
		}
		source := regexp.MustCompile(`(?m)^//.*$`).ReplaceAllString(string(text), "")
		source = strings.ReplaceAll(source, "http://www.w3.org/2000/svg", "")
		for _, bad := range []string{"http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "<style", " style=", "onclick="} {
			if strings.Contains(source, bad) {
				t.Errorf("%s: %s", n.Name(), bad)
			}
		}
		for _, m := range regexp.MustCompile(`from "\./([^"]+)"`).FindAllStringSubmatch(source, -1) {
			if _, err := files.ReadFile("assets/" + m[1]); err != nil {
				t.Errorf("%s imports %s: %v", n.Name(), m[1], err)
			}
		}
	}
}

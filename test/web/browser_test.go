package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// browser is a Chromium, spoken to over a pair of pipes: one JSON message and a zero byte at a time.
type browser struct {
	t   *testing.T
	out *os.File

	mu      sync.Mutex
	next    int
	waiting map[int]chan reply
	tabs    map[string]*tab // by session
	gone    chan struct{}
}

type reply struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

type message struct {
	ID        int
	Method    string
	SessionID string `json:"sessionId"`
	Params    json.RawMessage
	reply
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is missing: apt-get install chromium")
	}
	profile, err := os.MkdirTemp("/tmp", "ffweb")
	if err != nil {
		t.Fatal(err)
	}
	toRead, toWrite := pipe(t)
	fromRead, fromWrite := pipe(t)
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--user-data-dir="+profile, "--ignore-certificate-errors", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-features=Translate,MediaRouter,OptimizationHints", "--mute-audio", "about:blank")
	cmd.ExtraFiles = []*os.File{toRead, fromWrite}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toRead.Close()
	fromWrite.Close()
	b := &browser{t: t, out: toWrite, waiting: make(map[int]chan reply), tabs: make(map[string]*tab), gone: make(chan struct{})}
	go b.read(fromRead)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its processes, which are its group
		_ = cmd.Wait()
		<-b.gone
		toWrite.Close()
		fromRead.Close()
		os.RemoveAll(profile)
	})
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func (b *browser) read(from *os.File) {
	defer close(b.gone)
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		waiting, where := b.waiting[m.ID], b.tabs[m.SessionID]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		if m.ID != 0 && waiting != nil {
			waiting <- m.reply
		} else if where != nil {
			where.event(m)
		}
	}
}

// call asks the browser, or one of its tabs.
func (b *browser) call(session, method string, params, result any) {
	b.t.Helper()
	b.mu.Lock()
	b.next++
	id, answer := b.next, make(chan reply, 1)
	b.waiting[id] = answer
	text, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	if session != "" {
		text, err = json.Marshal(map[string]any{"id": id, "method": method, "params": params, "sessionId": session})
	}
	if err == nil {
		_, err = b.out.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		b.t.Fatal(err)
	}
	select {
	case a := <-answer:
		if a.Error != nil {
			b.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-b.gone:
		b.t.Fatalf("%s: chromium has ended", method)
	case <-time.After(patience):
		b.t.Fatalf("%s: no answer", method)
	}
}

// tab is a page, with everything that went wrong in it and everything that it asked for.
type tab struct {
	b       *browser
	session string

	mu       sync.Mutex
	problems []string
	requests []string
}

func (b *browser) open(width, height int, phone bool, features ...string) *tab {
	b.t.Helper()
	var context struct{ BrowserContextID string }
	b.call("", "Target.createBrowserContext", map[string]any{}, &context) // cookies of its own
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.BrowserContextID}, &target)
	var attached struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &tab{b: b, session: attached.SessionID}
	b.mu.Lock()
	b.tabs[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		p.call(domain+".enable", map[string]any{}, nil)
	}
	p.size(width, height, phone)
	p.look(features...)
	return p
}

func (p *tab) call(method string, params, result any) {
	p.b.t.Helper()
	p.b.call(p.session, method, params, result)
}

func (p *tab) size(width, height int, phone bool) {
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
}

// look sets media features: "prefers-color-scheme=dark".
func (p *tab) look(features ...string) {
	list := []map[string]string{}
	for _, f := range features {
		name, value, _ := strings.Cut(f, "=")
		list = append(list, map[string]string{"name": name, "value": value})
	}
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": list}, nil)
}

// event notes what the page does.
func (p *tab) event(m message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var v struct {
		Type             string
		Args             []struct{ Value, Description any }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
		Entry   struct{ Level, Text, URL string }
		Request struct{ URL string }
	}
	if json.Unmarshal(m.Params, &v) != nil {
		return
	}
	switch m.Method {
	case "Runtime.exceptionThrown":
		p.problems = append(p.problems, "exception: "+v.ExceptionDetails.Text+" "+v.ExceptionDetails.Exception.Description)
	case "Runtime.consoleAPICalled":
		if v.Type == "error" || v.Type == "warning" || v.Type == "assert" {
			p.problems = append(p.problems, fmt.Sprintf("console.%s: %v", v.Type, v.Args))
		}
	case "Log.entryAdded":
		if v.Entry.Level == "error" || v.Entry.Level == "warning" {
			p.problems = append(p.problems, fmt.Sprintf("log: %s (%s)", v.Entry.Text, v.Entry.URL))
		}
	case "Page.javascriptDialogOpening":
		p.problems = append(p.problems, "a dialog was opened")
	case "Network.requestWillBeSent":
		p.requests = append(p.requests, v.Request.URL)
	}
}

func (p *tab) load(url string) {
	p.b.t.Helper()
	p.call("Page.navigate", map[string]any{"url": url}, nil)
}

// value is what an expression gives; promises are waited for.
func (p *tab) value(expression string, into any) {
	p.b.t.Helper()
	var r struct {
		Result struct {
			Value       json.RawMessage
			Description string
		}
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		p.b.t.Fatalf("%s: %s %s", expression, r.ExceptionDetails.Text, r.ExceptionDetails.Exception.Description)
	}
	if into != nil && len(r.Result.Value) > 0 {
		if err := json.Unmarshal(r.Result.Value, into); err != nil {
			p.b.t.Fatalf("%s: %v", expression, err)
		}
	}
}

// wait waits until an expression is true.
func (p *tab) wait(expression string) {
	p.b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		var ok bool
		p.value("!!("+expression+")", &ok)
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			var text string
			p.value("location.href + '\\n' + document.body.innerText", &text)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.b.t.Fatalf("never true: %s\nproblems: %s\npage: %s", expression, p.problems, text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// waitText waits until the page shows a text.
func (p *tab) waitText(text string) {
	p.b.t.Helper()
	p.wait(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// typeInto writes into the element of a selector, as a keyboard would.
func (p *tab) typeInto(selector, text string) {
	p.b.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector(%q)", selector))
	p.value(fmt.Sprintf("document.querySelector(%q).focus()", selector), nil)
	p.call("Input.insertText", map[string]any{"text": text}, nil)
}

// press presses a key that makes no letter.
func (p *tab) press(key string, code int) {
	for _, kind := range []string{"keyDown", "keyUp"} {
		e := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if key == "Enter" && kind == "keyDown" {
			e["text"] = "\r"
		}
		p.call("Input.dispatchKeyEvent", e, nil)
	}
}

// picture writes what is shown into the directory of pictures, if there is one.
func (p *tab) picture(name string) {
	p.b.t.Helper()
	dir := os.Getenv("FREEFLOW_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	raw, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(dir+"/"+name+".png", raw, 0o644)
	}
	if err != nil {
		p.b.t.Fatal(err)
	}
}

// clean fails the test for anything that went wrong in the page, and for any request that did not go to origin.
func (p *tab) clean(origin string, expected ...string) {
	p.b.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
next:
	for _, problem := range p.problems {
		for _, e := range expected {
			if strings.Contains(problem, e) {
				continue next
			}
		}
		p.b.t.Errorf("in the page: %s", problem)
	}
	for _, url := range p.requests {
		if !strings.HasPrefix(url, origin+"/") && url != "about:blank" {
			p.b.t.Errorf("the page asked for %s", url)
		}
	}
	p.problems = nil
}

package web

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// enter logs in.
func (p *tab) enter(s *stage, token string) {
	s.Helper()
	p.load(s.origin + "/")
	p.typeInto("#token", token)
	p.press("Enter", 13)
	p.wait("document.querySelector('#nav a')")
}

// goTo shows a view by its address.
func (p *tab) goTo(s *stage, hash string) {
	s.Helper()
	p.value(fmt.Sprintf("location.hash = %q", hash), nil)
}

// fits fails if the page is wider than the screen.
func (p *tab) fits(name string) {
	p.b.t.Helper()
	var wide struct{ Have, Room float64 }
	p.value("({Have: document.documentElement.scrollWidth, Room: document.documentElement.clientWidth})", &wide)
	if wide.Have > wide.Room {
		p.b.t.Errorf("%s: %g wide on a screen of %g", name, wide.Have, wide.Room)
	}
}

func TestLogin(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	p := b.open(1280, 800, false)
	p.load(s.origin + "/")
	p.wait("document.activeElement && document.activeElement.id === 'token'")
	p.picture("login")
	p.typeInto("#token", "ff1.wrong")
	p.press("Enter", 13)
	p.wait("document.querySelector('[role=alert] .bad')")
	p.value("document.querySelector('#token').select()", nil)
	p.typeInto("#token", s.token(pb.Role_ROLE_OPERATOR, "olga"))
	p.press("Enter", 13)
	p.waitText("olga (operator)")
	var cookie string
	if p.value("document.cookie", &cookie); cookie != "" {
		t.Errorf("scripts see the cookie %q", cookie)
	}
	var stored float64
	if p.value("localStorage.length + sessionStorage.length", &stored); stored != 0 {
		t.Error("the page stores something")
	}
	p.load(s.origin + "/#/hosts")
	p.waitText("No hosts yet")
	p.value("[...document.querySelectorAll('button')].find(b => b.innerText === 'Log out').click()", nil)
	p.wait("document.querySelector('#token')")
	p.load(s.origin + "/?again")
	p.wait("document.querySelector('#token')")
	p.clean(s.origin, "status of 401") // what Chromium says of the wrong token
}

// A session that is taken away ends the page, wherever it is.
func TestRevokedSession(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	p := b.open(1280, 800, false)
	token := s.token(pb.Role_ROLE_VIEWER, "vera")
	p.enter(s, token)
	p.waitText("No containers yet")
	s.revoke(strings.Split(token, ".")[1])
	p.waitText("The session has ended")
	p.clean(s.origin, "status of 401")
}

func TestEmptyCluster(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	p := b.open(1280, 800, false)
	p.enter(s, s.token(pb.Role_ROLE_VIEWER, "vera"))
	for _, view := range []struct{ hash, text string }{
		{"#/", "freeflow router --orchestrator"}, {"#/hosts", "No hosts yet"}, {"#/networks", "10.77.0.0/16"}, {"#/containers", "freeflow run --name a"},
		{"#/flows", "No flows yet"}, {"#/policies", "freeflow apply -f"}, {"#/nothing", "Nothing here"}, {"#/container/default/none", "no such container"},
	} {
		p.goTo(s, view.hash)
		p.waitText(view.text)
	}
	var nav string
	if p.value("document.querySelector('#nav').innerText", &nav); strings.Contains(nav, "Audit") {
		t.Error("a viewer is shown the audit")
	}
	p.clean(s.origin, "status of 404")
}

// views are what there is to see of a lively cluster, and how to know that it is there.
var views = []struct{ name, hash, ready string }{
	{"overview", "#/", "document.querySelectorAll('.topology .flow.busy').length > 4 && document.querySelectorAll('.chart path').length > 0"},
	{"hosts", "#/hosts", "document.querySelectorAll('tbody tr').length === 3"},
	{"networks", "#/networks", "document.body.innerText.includes('10.90.0.0/16')"},
	{"containers", "#/containers", "document.querySelectorAll('tbody tr').length === 7 && /limited/.test(document.body.innerText)"},
	{"flows", "#/flows", "document.querySelectorAll('tbody tr').length > 8 && document.body.innerText.includes('Gbit/s')"},
	{"policies", "#/policies", "document.body.innerText.includes('over quota 3') && document.body.innerText.includes('limits 1') && document.body.innerText.includes('refused 5')"},
	{"container", "#/container/storage/kv-primary", "document.body.innerText.includes('0x004a11') && document.body.innerText.includes('203.0.113.9') && document.body.innerText.includes('1.00 GiB')"},
	{"audit", "#/audit", "document.body.innerText.includes('backup-at-night') && document.body.innerText.includes('kv-replica')"},
}

func TestViews(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	s.run(s.lively())
	if os.Getenv("FREEFLOW_SCREENSHOTS") != "" {
		time.Sleep(2 * time.Minute) // charts have a past to show
	}
	token := s.token(pb.Role_ROLE_OPERATOR, "olga")
	for _, screen := range []struct {
		name          string
		width, height int
		phone         bool
		scheme        string
	}{{"", 1360, 900, false, "light"}, {"-dark", 1360, 900, false, "dark"}, {"-phone", 360, 780, true, "light"}} {
		p := b.open(screen.width, screen.height, screen.phone, "prefers-color-scheme="+screen.scheme, "prefers-reduced-motion=reduce")
		p.enter(s, token)
		for _, v := range views {
			p.goTo(s, v.hash)
			p.wait(v.ready)
			p.fits(v.name + screen.name)
			p.accessible(v.name)
			p.picture(v.name + screen.name)
		}
		p.clean(s.origin)
	}
}

// What changes in the cluster changes on the page, without anybody asking.
func TestLive(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	p := b.open(1280, 800, false)
	p.enter(s, s.token(pb.Role_ROLE_VIEWER, "vera"))
	p.waitText("No hosts yet")
	r := s.host("h1", "192.0.2.1")
	p.waitText("h1")
	i := r.start("default", "newcomer", nil)
	p.waitText("newcomer")
	r.talk(i, "default", "peer", 1.25e8, 0)
	s.run([]*router{r})
	p.wait("/bit\\/s/.test(document.querySelector('.topology').textContent) && document.querySelector('.topology .pill')")
	p.wait("document.querySelector('.who .dot.live')")
	p.clean(s.origin)
}

// A search keeps its words and its place while rows change beneath it, and so does what has the focus.
func TestFocusStays(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	s.run(s.lively())
	p := b.open(1280, 800, false)
	p.enter(s, s.token(pb.Role_ROLE_VIEWER, "vera"))
	p.goTo(s, "#/containers")
	p.typeInto("input[type=search]", "rank=1")
	p.wait("document.querySelectorAll('tbody tr').length === 1")
	p.value("document.querySelector('tbody a').focus()", nil)
	p.value("document.querySelector('tbody td.spark svg path').setAttribute('data-old', '1')", nil)
	p.wait("!document.querySelector('tbody td.spark svg path[data-old]')") // rows have changed
	var still bool
	if p.value("document.activeElement === document.querySelector('tbody a')", &still); !still {
		t.Error("the focus is lost when rows change")
	}
	p.press("Enter", 13)
	p.wait("location.hash === '#/container/training/worker-1'")
	p.waitText("Queue pairs")
	p.clean(s.origin)
}

// A thousand containers: a page shows some of them, and searching and turning pages finds the others.
func TestThousandContainers(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	var list []*router
	for h := range 4 {
		r := s.host(fmt.Sprint("host-", h), fmt.Sprint("192.0.2.", h+1))
		for i := range 250 {
			c := r.start("default", fmt.Sprintf("c-%d-%03d", h, i), map[string]string{"shard": fmt.Sprint(i % 7)})
			r.talk(c, "default", fmt.Sprintf("c-%d-%03d", (h+1)%4, i), 1e6*float64(i+1), 1e5)
		}
		list = append(list, r)
	}
	s.run(list)
	p := b.open(1280, 800, false, "prefers-reduced-motion=reduce")
	p.enter(s, s.token(pb.Role_ROLE_VIEWER, "vera"))
	p.waitText("1 000")
	p.picture("thousand")
	p.goTo(s, "#/containers")
	p.wait("document.querySelectorAll('tbody tr').length === 50 && document.body.innerText.includes('1–50 of 1 000')")
	p.value("[...document.querySelectorAll('button')].find(b => b.innerText === 'Next').click()", nil)
	p.waitText("51–100 of 1 000")
	p.typeInto("input[type=search]", "c-3-007")
	p.wait("document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody a').innerText === 'c-3-007'")
	p.goTo(s, "#/flows")
	p.waitText("1–50 of ")
	p.clean(s.origin)
}

// A router, and a container through its labels, say what they like; it stays text.
func TestNamesAreNotMarkup(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	evil := `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`
	r := s.host("h1", "192.0.2.1")
	i := r.start("default", "target", map[string]string{"evil": evil, "image": `"><svg onload=window.hacked=1>`})
	r.source(i, func(x *pb.UsageSource) {
		x.Limit, x.Class, x.Mode = evil, evil[:40], "javascript:window.hacked=1"
	})
	r.talk(i, "default", "peer", 1e6, 1e6)
	r.details["target"] = &pb.ContainerDetails{Network: "default", Container: "target", Instance: "i-target", QpsTotal: 1, Qps: []*pb.QPDetails{{Qpn: 7, Type: evil, State: evil, Peer: evil, Fabric: evil}}}
	s.run([]*router{r})
	p := b.open(1280, 800, false)
	p.enter(s, s.token(pb.Role_ROLE_OPERATOR, "olga"))
	for _, hash := range []string{"#/", "#/containers", "#/flows", "#/container/default/target", "#/audit", "#/containers?host=" + evil, "#/container/default/" + evil} {
		p.goTo(s, hash)
		p.wait("document.querySelector('h1')")
		time.Sleep(100 * time.Millisecond) // a script that got in would run now
		p.notHacked(hash)
	}
	p.goTo(s, "#/container/default/target")
	p.waitText("0x000007")
	p.waitText("onerror") // it is shown, as text
	p.notHacked("details")
	p.clean(s.origin, "status of 404")
}

func (p *tab) notHacked(where string) {
	p.b.t.Helper()
	var bad bool
	p.value("!!window.hacked || !!document.querySelector('main img, main script, #alerts img, main [onload], main [onerror]')", &bad)
	if bad {
		p.b.t.Errorf("%s: a name became markup", where)
	}
}

// Even a script that is in the page can neither make code of text nor reach another host.
func TestPolicyHolds(t *testing.T) {
	s, b := newStage(t), startBrowser(t)
	p := b.open(1280, 800, false)
	p.load(s.origin + "/")
	p.wait("document.querySelector('#token')")
	for what, expression := range map[string]string{
		"markup of text":      "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'done' } catch { return 'stopped' } })()",
		"code of text":        "(() => { try { setTimeout('window.ran = 1'); return 'done' } catch { return 'stopped' } })()",
		"another host":        "fetch('https://example.com/').then(() => 'done', () => 'stopped')",
		"an inline script":    "(() => { const x = document.createElement('script'); try { x.textContent = 'window.ran = 1'; document.body.append(x) } catch {} return window.ran ? 'done' : 'stopped' })()",
		"a frame of the page": "new Promise(done => { const f = document.createElement('iframe'); f.src = '/'; f.onload = () => { let d = null; try { d = f.contentDocument && f.contentDocument.querySelector('#main') } catch {} done(d ? 'done' : 'stopped') }; document.body.append(f); setTimeout(() => done('stopped'), 3000) })",
	} {
		var got string
		if p.value(expression, &got); got != "stopped" {
			t.Errorf("%s: %s", what, got)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, url := range p.requests {
		if strings.Contains(url, "example.com") || strings.HasPrefix(url, "data:") {
			continue // asked for, and stopped before it left, as the fetch above says; and what Chromium shows in a frame that it may not load
		}
		if !strings.HasPrefix(url, s.origin) && url != "about:blank" {
			t.Errorf("asked for %s", url)
		}
	}
}

// accessible looks for what a screen reader or a keyboard would miss.
func (p *tab) accessible(name string) {
	p.b.t.Helper()
	var problems []string
	p.value(`(() => {
		const bad = [];
		const named = (e) => (e.getAttribute('aria-label') || e.innerText || e.textContent || e.getAttribute('title') || (e.labels && [...e.labels].map((l) => l.innerText).join('')) || '').trim();
		for (const e of document.querySelectorAll('a, button, input, select')) if (!named(e)) bad.push('no name: ' + e.outerHTML.slice(0, 120));
		for (const e of document.querySelectorAll('svg')) if (!e.getAttribute('aria-label') && !e.closest('[aria-hidden]')) bad.push('picture without words');
		for (const e of document.querySelectorAll('table')) if (!e.querySelector('caption')) bad.push('table without caption');
		for (const e of document.querySelectorAll('th')) if (e.getAttribute('scope') !== 'col' || !named(e)) bad.push('head without name or scope: ' + e.outerHTML);
		if (document.querySelectorAll('h1').length !== 1) bad.push(document.querySelectorAll('h1').length + ' h1');
		if (document.documentElement.lang !== 'en') bad.push('no language');
		const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
		if (new Set(ids).size !== ids.length) bad.push('an id twice');
		const light = (c) => { const v = c.match(/[\d.]+/g).map(Number).slice(0, 3).map((x) => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2] };
		const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/rgba\(.*, 0\)|transparent/.test(c)) return c } return 'rgb(255,255,255)' };
		for (const e of document.querySelectorAll('main *, header *')) {
			if (![...e.childNodes].some((n) => n.nodeType === 3 && n.nodeValue.trim()) || e.closest('svg') || !e.getClientRects().length || e.disabled) continue;
			const a = light(getComputedStyle(e).color), b = light(ground(e)), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
			if (ratio < 4.5) bad.push('contrast ' + ratio.toFixed(2) + ': ' + e.outerHTML.slice(0, 100));
		}
		return [...new Set(bad)].slice(0, 10);
	})()`, &problems)
	for _, x := range problems {
		p.b.t.Errorf("%s: %s", name, x)
	}
}

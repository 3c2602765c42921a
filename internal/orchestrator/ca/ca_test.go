package ca

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func authority(t testing.TB) *Authority {
	t.Helper()
	a, err := New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a certificate for a subject, through PEM and back as everybody who keeps it does.
func issue(t *testing.T, a *Authority, s Subject) *x509.Certificate {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := Request(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.Sign(s, public, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCert(EncodeCert(der))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(EncodeCert(der), EncodeKey(key)); err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestAuthoritySurvivesStorage(t *testing.T) {
	a := authority(t)
	b, err := Parse(a.PEM())
	if err != nil || Fingerprint(a.Cert) != Fingerprint(b.Cert) {
		t.Fatalf("read again: %v", err)
	}
	if _, err := Parse(EncodeCert(a.Cert.Raw)); err == nil {
		t.Error("accepted without a key")
	}
	if _, err := Parse([]byte("x")); err == nil {
		t.Error("accepted rubbish")
	}
}

// Only orchestrators can serve, only routers and operators can be clients, and nobody can sign.
func TestWhatCertificatesAreGoodFor(t *testing.T) {
	a := authority(t)
	for _, c := range []struct {
		id             Identity
		server, client bool
	}{
		{Identity{Role: RoleOrchestrator, Name: "o"}, true, false},
		{Identity{Role: RoleRouter, Name: "h", Underlay: netip.MustParseAddr("192.0.2.1")}, false, true},
		{Identity{Role: RoleRouter, Name: "h", Underlay: netip.MustParseAddr("2001:db8::1")}, false, true},
		{Identity{Role: RoleAdmin, Name: "admin"}, false, true},
	} {
		cert := issue(t, a, Subject{Identity: c.id, Lifetime: time.Hour})
		got, err := Holder(cert)
		if err != nil || got != c.id {
			t.Errorf("holder %v, %v, want %v", got, err, c.id)
		}
		for usage, want := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageServerAuth: c.server, x509.ExtKeyUsageClientAuth: c.client} {
			_, err := cert.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{usage}})
			if (err == nil) != want {
				t.Errorf("%s: usage %d: %v", c.id.Role, usage, err)
			}
		}
		if cert.IsCA {
			t.Errorf("%s can sign", c.id.Role)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: authority(t).Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			t.Errorf("%s: good for another cluster", c.id.Role)
		}
	}
	if _, err := Holder(a.Cert); err == nil {
		t.Error("the authority's certificate names a holder")
	}
}

func TestHostNames(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "host-1": true, "node.example.org": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "a..b": false, "a/b": false, "a b": false, "ä": false, strings.Repeat("a", 64): false,
	} {
		if (CheckHostName(name) == nil) != good {
			t.Errorf("%q", name)
		}
	}
}

func TestToken(t *testing.T) {
	a := authority(t)
	token := NewToken(a)
	again, err := ParseToken(" " + token.String() + "\n")
	if err != nil || again != token {
		t.Fatalf("%v, %v", again, err)
	}
	if !token.Proves(again.SecretHash()) || token.Proves(NewToken(a).SecretHash()) {
		t.Error("proves the wrong thing")
	}
	for _, bad := range []string{"", "ff1", "ff2" + token.String()[3:], token.String() + "0", token.String()[:40], strings.ToUpper(token.String()), strings.Repeat(".", 3)} {
		_, err := ParseToken(bad)
		if err == nil {
			t.Errorf("accepted %q", bad)
		} else if strings.Contains(err.Error(), token.Secret) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(NewToken(authority(f)).String())
	f.Add("ff1...")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err == nil && token.String() != strings.TrimSpace(text) {
			t.Fatalf("%q became %q", text, token)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	key, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	csr, err := Request(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr)
	f.Fuzz(func(t *testing.T, der []byte) {
		if key, err := ParseRequest(der); err == nil && key == nil {
			t.Fatal("no key and no error")
		}
	})
}

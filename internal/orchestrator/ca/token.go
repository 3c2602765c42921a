package ca

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Token lets a host join: ff1.ID.SECRET.FINGERPRINT, all hexadecimal. The orchestrator keeps the secret's hash
// under the ID; the fingerprint tells the host which authority to believe.
type Token struct {
	ID          string // 16 digits
	Secret      string // 48 digits
	Fingerprint string // 64 digits: SHA-256 of the authority's certificate
}

const (
	tokenVersion  = "ff1"
	idDigits      = 16
	secretDigits  = 48
	fingerprintHx = 64
)

// NewToken makes a token for that authority.
func NewToken(a *Authority) Token {
	return Token{ID: randomHex(idDigits), Secret: randomHex(secretDigits), Fingerprint: Fingerprint(a.Cert)}
}

func (t Token) String() string {
	return strings.Join([]string{tokenVersion, t.ID, t.Secret, t.Fingerprint}, ".")
}

// ParseToken reads a token. An error never repeats the secret.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	if len(text) > 256 {
		return Token{}, errors.New("join token: too long")
	}
	parts := strings.Split(text, ".")
	if len(parts) != 4 || parts[0] != tokenVersion {
		return Token{}, errors.New("join token: want ff1.ID.SECRET.FINGERPRINT, as `freeflow token create` prints it")
	}
	t := Token{ID: parts[1], Secret: parts[2], Fingerprint: parts[3]}
	for _, p := range []struct {
		name, text string
		digits     int
	}{{"ID", t.ID, idDigits}, {"secret", t.Secret, secretDigits}, {"fingerprint", t.Fingerprint, fingerprintHx}} {
		if !isHex(p.text, p.digits) {
			return Token{}, fmt.Errorf("join token: its %s is not %d hexadecimal digits", p.name, p.digits)
		}
	}
	return t, nil
}

// SecretHash is what the orchestrator keeps of the secret.
func (t Token) SecretHash() string {
	sum := sha256.Sum256([]byte(t.Secret))
	return hex.EncodeToString(sum[:])
}

// Proves says, in constant time, whether the token's secret is the one of that hash.
func (t Token) Proves(hash string) bool {
	return subtle.ConstantTimeCompare([]byte(t.SecretHash()), []byte(hash)) == 1
}

func isHex(s string, digits int) bool {
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

func randomHex(digits int) string {
	b := make([]byte, digits/2)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

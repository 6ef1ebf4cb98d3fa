package authpipetest

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
)

// PKCEMode says what becomes of a code_challenge at the dialog. Meta documents PKCE for logins with the scope openid
// only ("OIDC Token with Manual Flow"); what happens without it has been reported both ways.
type PKCEMode int

const (
	// PKCEWithOpenID binds the challenge of a login with the scope openid and drops any other, so that sending the verifier
	// breaks the exchange (NangoHQ/nango#7156). A bound code may be exchanged with the verifier, with the secret, or both.
	PKCEWithOpenID PKCEMode = iota
	// PKCEAlways is how it was in 2022: any challenge is bound, and the exchange refused without its verifier (expo/expo#15980).
	PKCEAlways
)

// challenge is a code_challenge that was bound to a code; the zero value is none.
type challenge struct {
	value string
	s256  bool
}

func (ch challenge) bound() bool { return ch.value != "" }

// bind decides what becomes of a challenge. A method that is not S256, such as sha256, silently counts as plain.
func (f *Facebook) bind(value, method string, openid bool) challenge {
	if !openid && f.options().PKCE != PKCEAlways {
		return challenge{}
	}
	return challenge{value: value, s256: method == "S256"}
}

// wellFormed is RFC 7636, section 4.1.
var wellFormed = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// verifies is RFC 7636, section 4.6.
func (ch challenge) verifies(verifier string) bool {
	if !wellFormed.MatchString(verifier) {
		return false
	}
	if ch.s256 {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return verifier == ch.value
}

// checkVerifier holds the code_verifier against what was bound.
func (f *Facebook) checkVerifier(ch challenge, verifier string) error {
	switch {
	case !ch.bound() && verifier != "":
		return oauthError(codeUnknown, "code_verifier param is provided without a code_challenge in authorization request.")
	case !ch.bound(), ch.verifies(verifier), verifier == "" && f.options().PKCE == PKCEWithOpenID:
		return nil
	}
	return oauthError(f.options().VerifierErrorCode, "Invalid code verifier. Code verifier should be a cryptographically random "+
		"string using the characters A-Z, a-z, 0-9, and the punctuation characters -._~ (hyphen, period, underscore, and "+
		"tilde), between 43 and 128 characters long.")
}

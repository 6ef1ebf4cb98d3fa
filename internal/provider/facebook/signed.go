package facebook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

const (
	// maxSignedRequest is many times the length of one that the engine wants.
	maxSignedRequest = 4096
	// oldestRequest and earliestRequest bound how far the time in a signed request
	// may lie behind and ahead of ours. Facebook sends one when the person acts.
	oldestRequest, earliestRequest = 24 * time.Hour, 5 * time.Minute
)

// unverified is the error of what does not verify. The reason is for tests:
// callers do not get it.
func unverified(reason string) error { return fmt.Errorf("%w: %s", provider.ErrUnverified, reason) }

// notices opens what Facebook posts by itself.
type notices struct{ *graph }

// OpenSignedRequest implements [provider.SignedRequests] for what Facebook
// posts when a person removes the app (Meta: "Manually Build a Login Flow",
// deauthorize callback) and asks for their data to be deleted (Meta: "Data
// Deletion Request Callback"):
//
//	base64url(HMAC-SHA256(app secret, payload)) "." payload
//
// where payload is the base64url of a JSON object. A browser in which the person
// uses the app may hold one as well, from the JavaScript SDK or on a canvas
// page: that one is there to log in, with a code or a token in it, and is
// refused.
func (p notices) OpenSignedRequest(c oauth.Client, signed string) (provider.Notification, error) {
	if len(signed) > maxSignedRequest {
		return provider.Notification{}, unverified("it is too long")
	}
	signature, payload, ok := strings.Cut(signed, ".")
	if !ok || !signedWithEither(c, payload, signature, base64.RawURLEncoding.EncodeToString) {
		return provider.Notification{}, unverified("the signature is wrong")
	}
	// Some have met one with padding. The signature is over it as it is.
	plain, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(payload, "="))
	if err != nil {
		return provider.Notification{}, unverified("the payload is not base64url")
	}
	fields, err := members(plain)
	if err != nil {
		return provider.Notification{}, unverified(err.Error())
	}
	return p.wordOf(fields)
}

// signedWithEither reports whether signature is that of message under one of
// c's secrets, in the given encoding. To encode what it should be, and not to
// decode what it is, leaves a signature one spelling only.
func signedWithEither(c oauth.Client, message, signature string, encoded func([]byte) string) bool {
	good := false
	for _, secret := range []oauth.Secret{c.Secret, c.OtherSecret} {
		if secret.IsZero() {
			continue // anybody could sign with that
		}
		mac := hmac.New(sha256.New, []byte(secret.Reveal()))
		mac.Write([]byte(message))
		good = hmac.Equal([]byte(signature), []byte(encoded(mac.Sum(nil)))) || good
	}
	return good
}

// wordOf judges a payload whose signature is right.
func (p notices) wordOf(fields map[string]json.RawMessage) (provider.Notification, error) {
	var (
		algorithm string
		person    decimalID
	)
	if json.Unmarshal(fields["algorithm"], &algorithm) != nil || !strings.EqualFold(algorithm, "HMAC-SHA256") {
		return provider.Notification{}, unverified("the algorithm is another")
	}
	for _, login := range []string{"code", "oauth_token"} {
		if _, ok := fields[login]; ok {
			return provider.Notification{}, unverified("it is a browser's")
		}
	}
	seconds, err := strconv.ParseInt(string(fields["issued_at"]), 10, 64)
	at := unixTime(seconds)
	if now := p.now(); err != nil || at.IsZero() || now.Sub(at) > oldestRequest || at.Sub(now) > earliestRequest {
		return provider.Notification{}, unverified("it is too old, or of the future")
	}
	if json.Unmarshal(fields["user_id"], &person) != nil || person == "" {
		return provider.Notification{}, unverified("it names no person")
	}
	return provider.Notification{Account: string(person), Gone: true, At: at, Reason: removedByPerson}, nil
}

const (
	removedByPerson   = "the provider reports that the person removed the app"
	removedByBusiness = "the provider reports that the business removed the app"
)

// members returns the members of a JSON object. One that is there twice makes
// it no object: two readers would read two things.
func members(b []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(b))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errNoObject
	}
	fields := map[string]json.RawMessage{}
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return nil, errNoObject
		}
		if _, twice := fields[name.(string)]; twice {
			return nil, errNoObject
		}
		fields[name.(string)] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errNoObject
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoObject
	}
	return fields, nil
}

var errNoObject = errors.New("the payload is no JSON object of distinct members")

package authpipetest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
	"sync"
	"time"
)

// idTokenLife is the lifetime of an ID token.
const idTokenLife = time.Hour

// scopeOpenID is the scope that requests an ID token ("OIDC Token with Manual Flow").
const scopeOpenID = "openid"

// openID issues ID tokens and serves the discovery documents of an OpenID Provider.
type openID struct {
	*settings
	directory *directory
}

// token makes the ID token that goes with t (OpenID Connect Core 1.0, section 2). t has no value if there is no access
// token.
func (o *openID) token(t *token, nonce string) string {
	now, person := o.options().Now(), o.directory.users[t.person]
	first, last, _ := strings.Cut(person.Name, " ")
	claims := object{
		{"iss", o.options().Issuer}, {"aud", t.app}, {"sub", scopedID(t.app, t.person)}, {"iat", unix(now)}, {"exp", unix(now.Add(idTokenLife))},
		{"jti", random(alphanumerics, 24)},
	}
	if t.value != "" {
		claims = append(claims, member{"at_hash", leftHalf(t.value)})
	}
	if nonce != "" {
		claims = append(claims, member{"nonce", nonce})
	}
	if t.has("email") && person.Email != "" {
		claims = append(claims, member{"email", person.Email})
	}
	claims = append(claims, member{"given_name", first}, member{"family_name", last}, member{"name", person.Name})
	return sign(claims)
}

// leftHalf computes the claim at_hash (OpenID Connect Core 1.0, section 3.1.3.6).
func leftHalf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// sign makes a JWT with RS256 (RFC 7515).
func sign(claims object) string {
	key := signingKey()
	header := object{{"kid", keyID(key)}, {"typ", "JWT"}, {"alg", "RS256"}}
	signed := base64.RawURLEncoding.EncodeToString(encode(header)) + "." + base64.RawURLEncoding.EncodeToString(encode(claims))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		panic("signing an ID token: " + err.Error()) // the key is the simulator's own
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// signingKey is the key of all simulators of a process. It is made on first use, because that takes a while and most
// tests need none.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic("making a key: " + err.Error())
	}
	return key
})

func keyID(key *rsa.PrivateKey) string {
	sum := sha256.Sum256(key.N.Bytes())
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// jwks serves the public key of the ID tokens (RFC 7517).
func (o *openID) jwks(*call) answer {
	key := signingKey()
	exponent := big.NewInt(int64(key.E)).Bytes()
	keys := []object{{
		{"kid", keyID(key)}, {"kty", "RSA"}, {"alg", "RS256"}, {"use", "sig"},
		{"n", base64.RawURLEncoding.EncodeToString(key.N.Bytes())}, {"e", base64.RawURLEncoding.EncodeToString(exponent)},
	}}
	if o.options().UnknownKeys { // first, so that a client must skip them
		keys = append([]object{
			{{"kid", "pq"}, {"kty", "AKP"}, {"alg", "ML-DSA-44"}, {"use", "sig"}, {"pub", "AAAA"}},
			{{"kid", "ed"}, {"kty", "OKP"}, {"crv", "Ed448"}, {"x", "AAAA"}},
		}, keys...)
	}
	return jsonAnswer(o.options().Now(), map[string]any{"keys": keys})
}

// discovery serves the OpenID Provider's metadata. As at Facebook it names no token endpoint, and its response types
// lack the one that "OIDC Token with Manual Flow" is about, although the dialog supports it. Endpoints that Facebook
// has at www.facebook.com are at the simulator.
func (o *openID) discovery(c *call) answer {
	return jsonAnswer(o.options().Now(), object{
		{"issuer", o.options().Issuer},
		{"authorization_endpoint", c.base() + "/dialog/oauth/"},
		{"jwks_uri", c.base() + "/.well-known/oauth/openid/jwks/"},
		{"response_types_supported", []string{"id_token", "token id_token"}},
		{"subject_types_supported", []string{"pairwise"}},
		{"id_token_signing_alg_values_supported", []string{"RS256"}},
		{"claims_supported", []string{"iss", "aud", "sub", "iat", "exp", "jti", "nonce", "at_hash", "name", "given_name", "family_name", "email"}},
	})
}

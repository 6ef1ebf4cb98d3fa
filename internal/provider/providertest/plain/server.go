// Package plain is an authorization server that follows the RFCs and nothing else, and the
// dialect that speaks to it. It is the second provider that the seam is tested with: refresh
// tokens that rotate (RFC 6749, section 6; RFC 9700, section 4.14.2), revocation (RFC 7009),
// introspection (RFC 7662), PKCE always (RFC 7636), and nothing of pages or proofs. Only tests
// use it.
package plain

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are what the server does. The zero value lives by the wall clock, gives
// access tokens an hour, and accepts no second use of a refresh token.
type Options struct {
	Now func() time.Time
	// Life is how long an access token lasts. Zero: an hour.
	Life time.Duration
	// Grace is for how long a refresh token that was used may be used again: the answer may
	// have been lost. After it the grant ends (RFC 9700, section 4.14.2).
	Grace time.Duration
	// NotBefore is for how long after it was issued a token is not refreshed. The answer
	// says so, as refresh_not_before.
	NotBefore time.Duration
	// SameToken has a refresh return the same tokens, with a later end.
	SameToken bool
}

// A Server is the authorization server. It is safe for concurrent use.
type Server struct {
	o Options

	mu      sync.Mutex
	clients map[string]*client
	codes   map[string]*code
	grants  []*grant
	counts  map[string]int
}

type client struct {
	secrets  []string
	redirect string
}

type code struct {
	client, account, redirect, challenge string
	scopes                               []string
	at                                   time.Time
	grant                                *grant // that it was redeemed for
}

type grant struct {
	client, account string
	scopes          []string
	ended           bool
	access          []access
	refresh         string
	former          map[string]time.Time // refresh tokens, by when they were used first
	issued          time.Time
}

type access struct {
	token string
	ends  time.Time
}

// CodeLife is how long the server's codes last.
const CodeLife = time.Minute

// NewServer returns a server without clients.
func NewServer(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Life == 0 {
		o.Life = time.Hour
	}
	return &Server{o: o, clients: map[string]*client{}, codes: map[string]*code{}, counts: map[string]int{}}
}

// AddClient registers a client.
func (s *Server) AddClient(id, secret, redirectURI string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = &client{[]string{secret}, redirectURI}
}

// Authorize approves the authorization request as account, and returns where the browser
// is sent.
func (s *Server) Authorize(authorizationURL, account string) (*url.URL, error) {
	u, err := url.Parse(authorizationURL)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[q.Get("client_id")]
	if c == nil || c.redirect != q.Get("redirect_uri") {
		return nil, fmt.Errorf("the client or its redirect URI is not registered")
	}
	back, err := url.Parse(c.redirect)
	if err != nil {
		return nil, err
	}
	answer := url.Values{"state": {q.Get("state")}}
	if q.Get("code_challenge") == "" || q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" {
		answer.Set("error", "invalid_request")
		answer.Set("error_description", "a code_challenge of S256 is required")
	} else {
		name := random("code")
		s.codes[name] = &code{
			client: q.Get("client_id"), account: account, redirect: c.redirect, challenge: q.Get("code_challenge"),
			scopes: strings.Fields(q.Get("scope")), at: s.o.Now(),
		}
		answer.Set("code", name)
	}
	back.RawQuery = answer.Encode()
	return back, nil
}

// End takes away the grants of the account, as its owner does.
func (s *Server) End(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.grants {
		if g.account == account {
			g.ended = true
		}
	}
}

// EndAccess ends an access token and leaves its refresh token alone.
func (s *Server) EndAccess(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, i := s.accessOf(token); g != nil {
		g.access[i].ends = s.o.Now()
	}
}

// Living returns how many grants of the account live.
func (s *Server) Living(account string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.grants {
		if g.account == account && !g.ended {
			n++
		}
	}
	return n
}

// Count returns how many requests an endpoint had: "token", "introspect", "revoke".
func (s *Server) Count(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[endpoint]
}

// RefreshTokens returns every refresh token that the server has issued.
func (s *Server) RefreshTokens() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.grants {
		all = append(all, g.refresh)
		for token := range g.former {
			all = append(all, token)
		}
	}
	return all
}

// Transport carries requests to the server within the process.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	t.ServeHTTP(w, r)
	return w.Result(), nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Date", s.o.Now().UTC().Format(http.TimeFormat))
	endpoint := strings.TrimPrefix(r.URL.Path, "/")
	answer := map[string]func(string, url.Values) (int, any){"token": s.token, "introspect": s.introspect, "revoke": s.revoke}[endpoint]
	if answer == nil || r.Method != http.MethodPost || r.ParseForm() != nil {
		http.NotFound(w, r)
		return
	}
	s.counts[endpoint]++
	id, secret, ok := credentials(r)
	c := s.clients[id]
	if !ok || c == nil || !slices.Contains(c.secrets, secret) {
		respond(w, http.StatusUnauthorized, refused("invalid_client"))
		return
	}
	status, body := answer(id, r.PostForm)
	respond(w, status, body)
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body) // the client is gone
	}
}

func refused(code string) map[string]any { return map[string]any{"error": code} }

func (s *Server) token(id string, form url.Values) (int, any) {
	switch form.Get("grant_type") {
	case "authorization_code":
		return s.redeem(id, form)
	case "refresh_token":
		return s.renew(id, form)
	}
	return http.StatusBadRequest, refused("unsupported_grant_type")
}

func (s *Server) redeem(id string, form url.Values) (int, any) {
	c := s.codes[form.Get("code")]
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	switch {
	case c == nil, c.client != id, c.redirect != form.Get("redirect_uri"), s.o.Now().Sub(c.at) >= CodeLife,
		base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge:
		return http.StatusBadRequest, refused("invalid_grant")
	case c.grant != nil:
		c.grant.ended = true // RFC 6749, section 4.1.2
		return http.StatusBadRequest, refused("invalid_grant")
	}
	c.grant = &grant{client: id, account: c.account, scopes: c.scopes, former: map[string]time.Time{}}
	s.grants = append(s.grants, c.grant)
	return http.StatusOK, s.issue(c.grant)
}

// issue gives the grant new tokens. The access tokens that it had live on.
func (s *Server) issue(g *grant) map[string]any {
	now := s.o.Now()
	g.issued, g.refresh = now, random("refresh")
	g.access = append(g.access, access{random("access"), now.Add(s.o.Life)})
	return s.answer(g)
}

// answer is RFC 6749, section 5.1.
func (s *Server) answer(g *grant) map[string]any {
	last := g.access[len(g.access)-1]
	body := map[string]any{
		"access_token": last.token, "token_type": "Bearer", "expires_in": int(last.ends.Sub(s.o.Now()).Seconds()),
		"refresh_token": g.refresh, "scope": strings.Join(g.scopes, " "),
	}
	if s.o.NotBefore > 0 {
		body["refresh_not_before"] = int(s.o.NotBefore.Seconds())
	}
	return body
}

func (s *Server) renew(id string, form url.Values) (int, any) {
	token := form.Get("refresh_token")
	now := s.o.Now()
	for _, g := range s.grants {
		used, spent := g.former[token]
		if g.client != id || g.refresh != token && !spent {
			continue
		}
		switch {
		case g.ended:
			return http.StatusBadRequest, refused("invalid_grant")
		case spent && now.Sub(used) >= s.o.Grace:
			g.ended = true // somebody else may have used it
			return http.StatusBadRequest, refused("invalid_grant")
		case !spent && now.Sub(g.issued) < s.o.NotBefore:
			return http.StatusBadRequest, refused("invalid_request")
		case s.o.SameToken:
			g.issued = now
			g.access[len(g.access)-1].ends = now.Add(s.o.Life)
			return http.StatusOK, s.answer(g)
		}
		if !spent {
			g.former[g.refresh] = now
		} else {
			g.former[g.refresh] = used // all of one grace end together
		}
		return http.StatusOK, s.issue(g)
	}
	return http.StatusBadRequest, refused("invalid_grant")
}

// accessOf returns the grant that the access token is of.
func (s *Server) accessOf(token string) (*grant, int) {
	for _, g := range s.grants {
		if i := slices.IndexFunc(g.access, func(a access) bool { return a.token == token }); i >= 0 {
			return g, i
		}
	}
	return nil, 0
}

func (s *Server) introspect(_ string, form url.Values) (int, any) {
	token, now := form.Get("token"), s.o.Now()
	g, i := s.accessOf(token)
	if g != nil && !g.ended && now.Before(g.access[i].ends) {
		return http.StatusOK, map[string]any{
			"active": true, "client_id": g.client, "sub": g.account, "scope": strings.Join(g.scopes, " "),
			"exp": g.access[i].ends.Unix(), "iat": g.issued.Unix(), "token_type": "Bearer",
		}
	}
	for _, g := range s.grants {
		if g.refresh == token && !g.ended {
			return http.StatusOK, map[string]any{"active": true, "client_id": g.client, "sub": g.account, "scope": strings.Join(g.scopes, " ")}
		}
	}
	return http.StatusOK, map[string]any{"active": false}
}

// revoke is RFC 7009: a token that is not known is no error. Any token of a grant ends it,
// a refresh token that was used before too, but for an access token that has expired.
func (s *Server) revoke(id string, form url.Values) (int, any) {
	token := form.Get("token")
	of, i := s.accessOf(token)
	for _, g := range s.grants {
		_, spent := g.former[token]
		if g.client == id && (of == g && s.o.Now().Before(g.access[i].ends) || g.refresh == token || spent) {
			g.ended = true
		}
	}
	return http.StatusOK, nil
}

func random(what string) string { return what + "-" + rand.Text() }

// credentials are the client's, which are form-encoded in the header (RFC 6749, section
// 2.3.1).
func credentials(r *http.Request) (id, secret string, ok bool) {
	id, secret, ok = r.BasicAuth()
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	return id, secret, ok && idErr == nil && secretErr == nil
}

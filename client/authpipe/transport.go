package authpipe

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// graphOrigins are the Graph API's origins, the only ones to which a [Transport] sends a token.
var graphOrigins = []string{"https://graph.facebook.com", "https://graph-video.facebook.com"}

// A Transport adds a credential to requests of the Graph API: the token in the header Authorization, and the appsecret_proof in the
// query. They replace those that the request has: the URL of a next page, as the Graph API writes it, has the access_token of that
// time in it.
//
//	graph := &http.Client{Transport: &authpipe.Transport{Client: client, Request: authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation}}}
//	resp, err := graph.Get("https://graph.facebook.com/v27.0/me/accounts")
//
// A request to any other origin is sent unchanged, except that a Referer with a URL of the Graph API is removed: no token is sent
// there, not even after a redirect.
//
// If Facebook responds that the token is dead (error 190, unless the token is of the wrong kind) or the proof invalid, the Transport
// calls [Client.ReportDead], and sends the request once more with the credential that it returns, if the body can be sent again
// ([http.Request].GetBody). Otherwise the caller gets Facebook's response. If the engine finds the credential dead, the next request
// fails with a [*NeedsReauthError].
type Transport struct {
	Client *Client // required

	// Request names the credential for requests without one in their context: see [WithRequest].
	Request Request

	// Base makes the requests. Zero: http.DefaultTransport.
	Base http.RoundTripper

	// Origins replaces the Graph API's origins, https://graph.facebook.com and https://graph-video.facebook.com, by others that get
	// the token, such as "http://127.0.0.1:8080" of a test double.
	Origins []string
}

type requestKey struct{}

// WithRequest returns a context whose requests a [Transport] makes with the credential q, instead of its own Request.
func WithRequest(ctx context.Context, q Request) context.Context {
	return context.WithValue(ctx, requestKey{}, q)
}

// RoundTrip implements [http.RoundTripper]. It returns the errors of [Client.Credential] and of Base. Errors of Base may quote a
// response: net.OpError, net.DNSError, tls.CertificateVerificationError and the context's errors are returned unchanged, any other as
// an error with a fixed text, in which [errors.Is] finds the original. The same goes for errors of the response's body.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if !t.trusted(r.URL) {
		return base.RoundTrip(t.unreferred(r))
	}
	q, ok := r.Context().Value(requestKey{}).(Request)
	if !ok {
		q = t.Request
	}
	credential, err := t.Client.Credential(r.Context(), q)
	if err == nil && credential.AccessToken.IsZero() {
		err = invalid("Static", "names no token to call the Graph API with")
	}
	if err != nil {
		closeBody(r)
		return nil, err
	}
	resp, err := send(base, r, credential)
	if err != nil || !refusesCredential(resp) {
		return resp, err
	}
	fresh, err := t.Client.ReportDead(r.Context(), credential)
	if err != nil || fresh == credential {
		return resp, nil // the engine found it alive a moment ago, and would again
	}
	again, ok := replay(r)
	if !ok {
		return resp, nil
	}
	_ = resp.Body.Close()
	return send(base, again, fresh)
}

// unreferred returns r without a Referer of the Graph API. After a redirect [http.Client] sends the former URL as the Referer, and the
// URL of a next page, as the Graph API writes it, has a token in it.
func (t *Transport) unreferred(r *http.Request) *http.Request {
	from, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || !t.trusted(from) {
		return r
	}
	bare := r.Clone(r.Context())
	bare.Header.Del("Referer")
	return bare
}

// trusted reports whether u's origin may get a token.
func (t *Transport) trusted(u *url.URL) bool {
	trusted := t.Origins
	if trusted == nil {
		trusted = graphOrigins
	}
	return slices.ContainsFunc(trusted, func(s string) bool {
		o, err := url.Parse(s)
		return err == nil && o.Host != "" && origin(o) == origin(u)
	})
}

// origin returns scheme, host and port in one spelling.
func origin(u *url.URL) string {
	scheme := strings.ToLower(u.Scheme)
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[scheme])
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// send sends a copy of r with the credential. The response's Request is r, without the credential, so that it can be printed.
func send(base http.RoundTripper, r *http.Request, credential *Credential) (*http.Response, error) {
	signed := r.Clone(r.Context())
	if signed.Header == nil {
		signed.Header = http.Header{}
	}
	signed.Header.Set("Authorization", "Bearer "+credential.AccessToken.Reveal())
	signed.URL.RawQuery = signedQuery(r.URL.RawQuery, credential)
	resp, err := base.RoundTrip(signed)
	if resp != nil {
		resp.Request = r
		if resp.Body != nil && resp.StatusCode != http.StatusSwitchingProtocols { // its body is an io.Writer, too
			resp.Body = quietBody{resp.Body}
		}
	}
	if err != nil {
		err = quiet(err) // it may quote the URL, or the Graph API's response with tokens of pages
	}
	return resp, err
}

// signedQuery puts the proof into a query, and leaves the order and spelling of the rest unchanged.
func signedQuery(query string, credential *Credential) string {
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if part != "" && (err != nil || !slices.Contains([]string{"access_token", "appsecret_proof", "appsecret_time"}, name)) {
			kept = append(kept, part)
		}
	}
	if !credential.AppSecretProof.IsZero() {
		kept = append(kept, "appsecret_proof="+url.QueryEscape(credential.AppSecretProof.Reveal()))
	}
	return strings.Join(kept, "&")
}

// replay returns r to be sent again; false if its body cannot be read again.
func replay(r *http.Request) (*http.Request, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, false
	}
	again := r.Clone(r.Context())
	again.Body = body
	return again, true
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

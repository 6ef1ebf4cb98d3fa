package authpipe

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// graphOrigins are where the Graph API is: the only ones that a [Transport] sends a token to.
var graphOrigins = []string{"https://graph.facebook.com", "https://graph-video.facebook.com"}

// A Transport makes calls of the Graph API in the name of a credential: it adds the token, in the header Authorization, and the
// appsecret_proof, in the query. In their place, if they are there: what the Graph API answers as the next page's URL has an
// access_token in it, of the time when it was written.
//
//	graph := &http.Client{Transport: &authpipe.Transport{Client: client, Request: authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation}}}
//	resp, err := graph.Get("https://graph.facebook.com/v27.0/me/accounts")
//
// A request to any other origin goes through as it is, but for a Referer of the Graph API's: no token leaves for it, be it after a
// redirect or by mistake.
//
// Where Facebook answers that the token is dead (error 190, unless it is the token's kind that is wrong) or the proof invalid, the
// credential is dropped and the engine has it checked; then the request is sent once more, if its body can be ([http.Request].GetBody)
// and there is a credential to send it with. If not, Facebook's answer stands, and whatever is asked next fails with the engine's
// reason.
type Transport struct {
	Client *Client // required

	// Request says whose credential it is, for requests whose context does not say it: see [WithRequest].
	Request Request

	// Base makes the requests. Zero: http.DefaultTransport.
	Base http.RoundTripper

	// Origins replaces those of the Graph API, https://graph.facebook.com and https://graph-video.facebook.com, by others that get
	// the token: that of a test double, say "http://127.0.0.1:8080".
	Origins []string
}

type requestKey struct{}

// WithRequest has requests with this context made in the name of q, instead of the Transport's.
func WithRequest(ctx context.Context, q Request) context.Context {
	return context.WithValue(ctx, requestKey{}, q)
}

// RoundTrip implements [http.RoundTripper]. It returns the errors of [Client.Credential], and those of its Base without their text,
// which may quote an answer: net.OpError, net.DNSError, tls.CertificateVerificationError and the context's errors as they are, of
// others one of a fixed text that [errors.Is] finds the original in. The same goes for reading the answer's body.
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
	if err != nil || judge(resp) == fine {
		return resp, err
	}
	fresh, err := t.Client.ReportDead(r.Context(), credential)
	if err != nil || fresh == credential {
		return resp, nil // it was found alive a moment ago, and Facebook says the same again
	}
	again, ok := replay(r)
	if !ok {
		return resp, nil
	}
	_ = resp.Body.Close()
	return send(base, again, fresh)
}

// unreferred returns r without a Referer of the Graph API's. After a redirect [http.Client] tells where it led to what URL it came
// from, and a page's, as the Graph API writes it, has a token in it.
func (t *Transport) unreferred(r *http.Request) *http.Request {
	from, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || !t.trusted(from) {
		return r
	}
	bare := r.Clone(r.Context())
	bare.Header.Del("Referer")
	return bare
}

// trusted tells whether a token may go to where u leads.
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

// origin is scheme, host and port, as one writes them in one way only.
func origin(u *url.URL) string {
	scheme := strings.ToLower(u.Scheme)
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[scheme])
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// send sends a copy of r with the credential. What comes back belongs to r, which has none in it: whoever prints the answer's
// request shows nothing.
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
		if resp.Body != nil && resp.StatusCode != http.StatusSwitchingProtocols { // whose body is written to
			resp.Body = quietBody{resp.Body}
		}
	}
	if err != nil {
		err = quiet(err) // it may show the URL that was sent, or what the Graph API answered: tokens of pages
	}
	return resp, err
}

// signedQuery puts the proof into a query, and leaves the rest as it was written: another order or spelling would be a change too.
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

// replay returns r to be sent again; false if its body is spent for good.
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

package facebook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// request is one call to the Graph API.
type request struct {
	op     string // a gerund, for errors
	method string
	url    string
	form   url.Values
	bearer oauth.Secret
	// token and client say what a refusal is about: the token endpoint,
	// where code 1 means the client, or a call that the client's own token
	// makes, where code 190 does.
	token, client bool
	// inner: it is a call of a batch, and about one token.
	inner bool
	// header, if it is not nil, is given the answer's.
	header *http.Header
	// secrets must not stand in an error.
	secrets []oauth.Secret
}

// graph is Facebook's API as seen through one transport.
type graph struct {
	http *http.Client
	now  func() time.Time
	// skew and served are what Skew and Served return.
	skew   atomic.Pointer[time.Duration]
	served atomic.Pointer[string]
}

func newGraph(transport http.RoundTripper, now func() time.Time) *graph {
	return &graph{
		http: provider.HTTPClient(transport),
		now:  now,
	}
}

// call sends r and decodes a successful answer into into. Its errors are [*provider.Error].
func (p *graph) call(ctx context.Context, r request, into any) error {
	var body io.Reader
	if r.form != nil {
		body = strings.NewReader(r.form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return &provider.Error{Class: provider.Misconfigured, Op: r.op, Message: "the provider's URL is malformed"}
	}
	req.Header.Set("Accept", "application/json")
	if r.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if !r.bearer.IsZero() {
		req.Header.Set("Authorization", "Bearer "+r.bearer.Reveal())
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return provider.Unreachable(r.op, err)
	}
	defer resp.Body.Close()
	p.witness(resp.Header)
	if r.header != nil {
		*r.header = resp.Header
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return provider.Unreachable(r.op, err)
	}
	if failure := refusal(r, resp.StatusCode, b); failure != nil {
		return p.withHeaders(failure, resp.Header)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return &provider.Error{Class: provider.Transient, Op: r.op, Message: "the answer is not the JSON that was expected"}
	}
	return nil
}

// witness records Facebook's time and version from an answer.
func (p *graph) witness(header http.Header) {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		skew := p.now().Sub(date).Round(time.Second)
		p.skew.Store(&skew)
	}
	if version := header.Get("Facebook-Api-Version"); versionIn.MatchString(version) {
		p.served.Store(&version)
	}
}

// versionIn is a version as answers name it.
var versionIn = regexp.MustCompile(`^v[0-9]{1,3}\.[0-9]{1,3}$`)

// Served implements [provider.Provider].
func (p *graph) Served() string {
	if version := p.served.Load(); version != nil {
		return *version
	}
	return ""
}

// Skew implements [provider.Provider].
func (p *graph) Skew() (ahead time.Duration, known bool) {
	if skew := p.skew.Load(); skew != nil {
		return *skew, true
	}
	return 0, false
}

// refusal returns the error that an answer holds, or nil. An error object is
// one whatever the status; a status that is not 200 is one whatever the body.
func refusal(r request, status int, body []byte) *provider.Error {
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && len(answer.Error) > 0 {
		var object graphError
		if json.Unmarshal(answer.Error, &object) == nil {
			return object.classified(r, status)
		}
		if r.token && status < http.StatusInternalServerError {
			// An error as RFC 6749, section 5.2, has it. Facebook sends none: a proxy did.
			var code string
			if json.Unmarshal(answer.Error, &code) != nil {
				code = "of another form than is known"
			}
			return &provider.Error{Class: provider.Transient, Uncertain: true, Op: r.op, Message: "the provider answered with the error " + clean(code, r.secrets...)}
		}
	}
	if status != http.StatusOK {
		return &provider.Error{Class: provider.Transient, Op: r.op, Message: fmt.Sprintf("the provider answered with status %d %s", status, http.StatusText(status))}
	}
	return nil
}

// A recorder is a transport that remembers the last answer, or why there was
// none.
type recorder struct {
	next   http.RoundTripper
	status int
	header http.Header
	body   []byte
	err    error
}

// RoundTrip implements [http.RoundTripper].
func (t *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		t.err = err
		return nil, err
	}
	t.status, t.header = resp.StatusCode, resp.Header
	t.body, t.err = io.ReadAll(resp.Body)
	resp.Body.Close()
	if t.err != nil {
		return nil, t.err
	}
	resp.Body = io.NopCloser(bytes.NewReader(t.body))
	return resp, nil
}

// exchangeError returns the error of an exchange that failed. An answer that holds
// neither a token nor an error says nothing of the code.
func (p *graph) exchangeError(t *recorder, r request) error {
	if t.err != nil || t.status == 0 {
		return provider.Unreachable(r.op, t.err)
	}
	if failure := refusal(r, t.status, t.body); failure != nil {
		return p.withHeaders(failure, t.header)
	}
	if json.Unmarshal(t.body, &struct{}{}) == nil {
		return &provider.Error{Class: provider.Transient, Uncertain: true, Op: r.op, Message: "the answer holds no usable access_token"}
	}
	return &provider.Error{Class: provider.Transient, Op: r.op, Message: "the answer is not the JSON that was expected"}
}

package facebook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// maxBody is how much of an answer is read: none that the engine understands
// is longer.
const maxBody = 1 << 20

// request is one call to the Graph API.
type request struct {
	op     string // a gerund, for errors
	method string
	url    string
	form   url.Values
	bearer oauth.Secret
	// token and client tell what a refusal speaks of: the token endpoint,
	// where code 1 means the client, or a call that the client's own token
	// makes, where code 190 does.
	token, client bool
	// secrets must not stand in an error.
	secrets []oauth.Secret
}

// call sends r and decodes a successful answer into into, unless that is nil.
// Its errors are [*provider.Error].
func (p *Provider) call(ctx context.Context, r request, into any) error {
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
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer.Reveal())
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return unreachable(r.op, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return unreachable(r.op, err)
	}
	if failure := refusal(r, resp, b); failure != nil {
		return failure
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return &provider.Error{Class: provider.Transient, Op: r.op, Message: "the answer is not the JSON that was expected"}
	}
	return nil
}

// refusal returns the error that an answer holds, or nil. An error object is
// one whatever the status; a status that is not 200 is one whatever the body.
func refusal(r request, resp *http.Response, body []byte) error {
	var answer struct {
		Error *graphError `json:"error"`
	}
	err := json.Unmarshal(body, &answer)
	if err == nil && answer.Error != nil {
		return answer.Error.classified(r, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		return &provider.Error{Class: provider.Transient, Op: r.op, Message: "the provider answered " + resp.Status}
	}
	return nil
}

// exchangeError classifies an error of x/oauth2. That library's own text is
// not shown: it holds the answer's body.
func exchangeError(err error, secrets ...oauth.Secret) error {
	r := request{op: "exchanging the code", token: true, secrets: secrets}
	var retrieve *oauth2.RetrieveError
	if errors.As(err, &retrieve) && retrieve.Response != nil {
		if failure := refusal(r, retrieve.Response, retrieve.Body); failure != nil {
			return failure
		}
	}
	var u *url.Error
	if errors.As(err, &u) {
		return unreachable(r.op, u)
	}
	return &provider.Error{Class: provider.Transient, Op: r.op, Message: "the answer is not the JSON that was expected"}
}

// unreachable wraps an error of the transport. A [url.Error] is peeled off: it
// prints the URL, and that may hold a token.
func unreachable(op string, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	e := &provider.Error{Class: provider.Transient, Op: op, Message: "the provider could not be reached: " + err.Error(), Err: err}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Message = "the provider did not answer within " + provider.CallTimeout.String()
	case errors.Is(err, errTooLong):
		e.Message = "the answer is longer than 1 MiB"
	}
	return e
}

var errTooLong = errors.New("answer too long")

// bounded is a transport whose answers end in an error after maxBody bytes.
type bounded struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{resp.Body, maxBody}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

package authpipetest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// batchLimit is how many calls fit into a batch ("Batch Requests").
const batchLimit = 50

// batchedCall is an entry of the parameter batch. Dependencies between entries (name, depends_on) are not simulated.
type batchedCall struct {
	Method      string   `json:"method"`
	RelativeURL string   `json:"relative_url"`
	Body        string   `json:"body"`    // form-encoded
	Headers     []string `json:"headers"` // "Name: value"
}

// batchedAnswer is an entry of the answer.
type batchedAnswer struct {
	Code    int             `json:"code"`
	Headers []batchedHeader `json:"headers,omitempty"`
	Body    string          `json:"body"` // JSON within a string
}

type batchedHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// batchKey is the context key that marks requests made by a batch.
type batchKey struct{}

// batches serves batch requests.
type batches struct {
	*settings
	mu    *sync.Mutex
	graph *graph
	send  func(http.ResponseWriter, *http.Request) error // serves one entry
}

// serve makes the calls one after the other and returns their answers in order ("Batch Requests"). It does not hold the
// lock: each call takes it.
func (bs *batches) serve(c *call) answer {
	calls, err := bs.read(c)
	if err != nil {
		bs.mu.Lock()
		defer bs.mu.Unlock()
		return bs.graph.answer(c, nil, err)
	}
	answers := []*batchedAnswer{}
	for _, b := range calls {
		answers = append(answers, bs.serveBatched(c, b))
	}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return bs.graph.answer(c, answers, nil)
}

func (bs *batches) read(c *call) ([]batchedCall, error) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	var calls []batchedCall
	switch err := json.Unmarshal([]byte(c.param("batch")), &calls); {
	case !bs.knows(c.version):
		return nil, unknownPath(c)
	case err != nil:
		return nil, oauthError(codeInvalid, "(#100) param batch must be an array.")
	case len(calls) > batchLimit:
		return nil, batchError("Too many requests in batch message. Maximum batch size is 50")
	case c.accessToken() == "" && c.param("batch_app_id") == "" && !bs.options().BatchWithoutToken:
		return nil, oauthError(codeTokenRequired, noToken)
	}
	return calls, nil
}

// batchError refuses a whole batch. Reports of this error show no code.
func batchError(message string) refusal {
	return refusal{GraphError: GraphError{Message: message, Type: "GraphBatchException"}, status: http.StatusBadRequest}
}

// serveBatched serves one entry as if it had been sent alone. It returns nil if a [Fault] broke it: Facebook answers
// null for an entry that timed out.
func (bs *batches) serveBatched(c *call, b batchedCall) *batchedAnswer {
	request, err := bs.unpack(c, b)
	if err != nil {
		return &batchedAnswer{Code: http.StatusBadRequest, Body: string(encode(map[string]GraphError{"error": {
			Message: "Invalid relative_url", Type: "GraphBatchException", TraceID: "A" + random(alphanumerics, 22),
		}}))}
	}
	page := httptest.NewRecorder()
	if bs.send(page, request) != nil {
		return nil
	}
	answered := &batchedAnswer{Code: page.Code, Body: page.Body.String()}
	if c.param("include_headers") != "false" {
		answered.Headers = batchedHeaders(page.Header())
	}
	return answered
}

// unpack makes a request of an entry. The entry inherits the batch's version unless its URL names one, and the batch's
// token, with its proof, unless it has a token of its own.
func (bs *batches) unpack(c *call, b batchedCall) (*http.Request, error) {
	target, err := url.Parse(b.RelativeURL)
	if err != nil {
		return nil, err
	}
	target.Path = strings.TrimLeft(target.Path, "/")
	if first, _, _ := strings.Cut(target.Path, "/"); c.version != "" && !versionSegment.MatchString(first) {
		target.Path = c.version + "/" + target.Path
	}
	form, err := url.ParseQuery(b.Body)
	if err != nil {
		return nil, err
	}
	q := target.Query()
	if !q.Has("access_token") && !form.Has("access_token") {
		bs.addBatchToken(c, q)
	}
	address := (&url.URL{Path: "/" + target.Path, RawQuery: q.Encode()}).String()
	ctx := context.WithValue(c.request.Context(), batchKey{}, true)
	request, err := http.NewRequestWithContext(ctx, methodOr(b.Method, http.MethodGet), address, strings.NewReader(b.Body))
	if err != nil {
		return nil, err
	}
	request.Host, request.TLS = c.request.Host, c.request.TLS
	if proto := c.request.Header.Get("X-Forwarded-Proto"); proto != "" {
		request.Header.Set("X-Forwarded-Proto", proto)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, line := range b.Headers {
		name, value, _ := strings.Cut(line, ":")
		request.Header.Set(name, strings.TrimSpace(value))
	}
	return request, nil
}

// addBatchToken adds the batch's token, and its proof unless each entry must have its own.
func (bs *batches) addBatchToken(c *call, q url.Values) {
	if token := c.accessToken(); token != "" {
		q.Set("access_token", token)
	}
	for _, name := range []string{"appsecret_proof", "appsecret_time"} {
		if value := c.param(name); value != "" && !q.Has(name) && !bs.options().BatchProofPerCall {
			q.Set(name, value)
		}
	}
}

func batchedHeaders(h http.Header) []batchedHeader {
	var listed []batchedHeader
	for name, values := range h {
		for _, value := range values {
			listed = append(listed, batchedHeader{name, value})
		}
	}
	slices.SortFunc(listed, func(a, b batchedHeader) int { return strings.Compare(a.Name, b.Name) })
	return listed
}

func methodOr(method, otherwise string) string {
	if method == "" {
		return otherwise
	}
	return strings.ToUpper(method)
}

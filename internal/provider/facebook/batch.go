package facebook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// batchLimit is how many calls Facebook takes in one (Meta: "Batch Requests").
// It counts each of them for its rate limits.
const batchLimit = 50

// BatchLimit implements [provider.BatchInspector].
func (inspector) BatchLimit() int { return batchLimit }

// batched is one call of a batch.
type batched struct {
	Method      string `json:"method"`
	RelativeURL string `json:"relative_url"`
}

// batchAnswer is the answer to one call of a batch.
type batchAnswer struct {
	Code int    `json:"code"`
	Body string `json:"body"`

	timedOut bool   // Facebook gives null for a call that it had no time for
	trace    string // of the batch as a whole
}

// InspectAll implements [provider.BatchInspector].
func (p inspector) InspectAll(ctx context.Context, c oauth.Client, tokens []oauth.Token) []provider.Inspection {
	all, err := provider.WithEither(ctx, c, func(c oauth.Client) ([]provider.Inspection, error) { return p.inspectAll(ctx, c, tokens) })
	if all == nil {
		all = make([]provider.Inspection, len(tokens))
		for i := range all {
			all[i].Err = err
		}
	}
	return all
}

// inspectAll also returns the error of a call in the batch that refuses the
// client: another secret may fare better with all of them.
func (p inspector) inspectAll(ctx context.Context, c oauth.Client, tokens []oauth.Token) ([]provider.Inspection, error) {
	secrets := make([]oauth.Secret, len(tokens))
	for i, t := range tokens {
		secrets[i] = t.AccessToken
	}
	answers, err := p.debugTokens(ctx, "inspecting tokens", c, secrets...)
	if refused := (*batchRefused)(nil); errors.As(err, &refused) && len(tokens) > 1 {
		return p.inspectEach(ctx, c, tokens), nil // one of them may be why
	}
	if err != nil {
		return nil, err
	}
	all := make([]provider.Inspection, len(tokens))
	for i, t := range tokens {
		all[i].Token, all[i].Err = p.inspected(ctx, c, t, answers[i])
		if provider.RefusesClient(all[i].Err) {
			err = all[i].Err
		}
	}
	return all, err
}

func (p inspector) inspectEach(ctx context.Context, c oauth.Client, tokens []oauth.Token) []provider.Inspection {
	all := make([]provider.Inspection, len(tokens))
	for i, t := range tokens {
		all[i].Token, all[i].Err = p.Inspect(ctx, c, t)
	}
	return all
}

// debugTokens inspects tokens in one synchronous batch (Meta: "Batch Requests",
// "Debug-Token"). Alone, debug_token is a GET with the token in its URL, which
// logs show; in a batch that URL stands in the body of a POST. It returns as
// many answers as there are tokens.
func (p inspector) debugTokens(ctx context.Context, op string, c oauth.Client, tokens ...oauth.Secret) ([]batchAnswer, error) {
	calls := make([]batched, len(tokens))
	for i, t := range tokens {
		q := url.Values{"input_token": {t.Reveal()}}
		calls[i] = batched{http.MethodGet, c.APIVersion + "/debug_token?" + q.Encode()}
	}
	return p.batch(ctx, request{op: op, bearer: appToken(c), client: true, secrets: slices.Concat(tokens, []oauth.Secret{c.Secret})}, c, calls)
}

// batch makes calls in one synchronous batch, with r's bearer token and its secrets
// (Meta: "Batch Requests"). It returns as many answers as there are calls.
func (p *graph) batch(ctx context.Context, r request, c oauth.Client, calls []batched) ([]batchAnswer, error) {
	batch, err := json.Marshal(calls)
	if err != nil {
		return nil, &provider.Error{Class: provider.Transient, Op: r.op, Message: "the batch cannot be written"}
	}
	var (
		header  http.Header
		answers []*batchAnswer
	)
	r.method, r.url, r.header = http.MethodPost, c.APIBase+"/"+c.APIVersion+"/", &header
	r.form = url.Values{
		"access_token": {r.bearer.Reveal()}, "appsecret_proof": {proof(c, r.bearer.Reveal())}, "include_headers": {"false"}, "batch": {string(batch)},
	}
	r.bearer = oauth.Secret{} // it stands in the form, where the calls of the batch get it from
	err = p.call(ctx, r, &answers)
	if err == nil && len(answers) != len(calls) {
		err = &provider.Error{Class: provider.Transient, Op: r.op, Message: "the batch has another number of answers than of calls"}
	}
	if err != nil {
		return nil, wholeBatch(err)
	}
	all := make([]batchAnswer, len(calls))
	for i, a := range answers {
		if a == nil {
			a = &batchAnswer{timedOut: true}
		}
		all[i], all[i].trace = *a, header.Get(traceHeader)
	}
	return all, nil
}

// A batchRefused is the refusal of a batch as a whole.
type batchRefused struct{ error }

func (e *batchRefused) Unwrap() error { return e.error }

// wholeBatch returns the error of a batch that failed as a whole. Such a refusal
// says nothing of a token, unless it is the client's or the app's limit.
func wholeBatch(err error) error {
	var e *provider.Error
	if !errors.As(err, &e) || e.Class == provider.Transient || e.Class == provider.Throttled || e.Class == provider.Misconfigured {
		return err
	}
	return &batchRefused{e.Reclassified(provider.Transient, provider.ConcernsRequest)}
}

// read returns what one answer of a batch says of a token.
func (a batchAnswer) read(c oauth.Client, token oauth.Secret) (inspection, error) {
	if a.timedOut {
		return inspection{}, &provider.Error{Class: provider.Transient, Op: inspecting, Message: "the provider had no time for it within the batch"}
	}
	if err := refusal(request{op: inspecting, client: true, inner: true, secrets: []oauth.Secret{c.Secret, token}}, a.Code, []byte(a.Body)); err != nil {
		return inspection{}, err
	}
	answer := inspection{trace: a.trace}
	if err := json.Unmarshal([]byte(a.Body), &answer); err != nil {
		return inspection{}, &provider.Error{Class: provider.Transient, Op: inspecting, Message: "the answer is not the JSON that was expected"}
	}
	return answer, nil
}

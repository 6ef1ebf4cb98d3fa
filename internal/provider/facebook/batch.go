package facebook

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// batchLimit is how many calls Facebook takes in one (Meta: "Batch Requests").
// It counts each of them for its rate limits.
const batchLimit = 50

// BatchLimit implements [provider.BatchInspector].
func (*Provider) BatchLimit() int { return batchLimit }

// batched is one call of a batch, and batchAnswer the answer to one. That of a
// call that took too long is null.
type (
	batched struct {
		Method      string `json:"method"`
		RelativeURL string `json:"relative_url"`
	}
	batchAnswer struct {
		Code int    `json:"code"`
		Body string `json:"body"`
	}
)

// InspectAll implements [provider.BatchInspector].
func (p *Provider) InspectAll(ctx context.Context, c oauth.Client, tokens []oauth.Token) []provider.Inspection {
	all, err := withEither(ctx, c, func(c oauth.Client) ([]provider.Inspection, error) { return p.inspectAll(ctx, c, tokens) })
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
func (p *Provider) inspectAll(ctx context.Context, c oauth.Client, tokens []oauth.Token) ([]provider.Inspection, error) {
	answers, trace, err := p.debugTokens(ctx, c, tokens)
	switch class := provider.ClassOf(err); {
	case err == nil:
	case class == provider.Transient, class == provider.Throttled, class == provider.Misconfigured:
		return nil, err
	default:
		// It is the batch that is refused: that says nothing of the tokens, and none
		// is to wait for it.
		return p.inspectEach(ctx, c, tokens), nil
	}
	all := make([]provider.Inspection, len(tokens))
	for i, t := range tokens {
		all[i].Token, all[i].Err = inspected(c, t, answers[i], trace)
		if refusesClient(all[i].Err) {
			err = all[i].Err
		}
	}
	return all, err
}

func (p *Provider) inspectEach(ctx context.Context, c oauth.Client, tokens []oauth.Token) []provider.Inspection {
	all := make([]provider.Inspection, len(tokens))
	for i, t := range tokens {
		all[i].Token, all[i].Err = p.Inspect(ctx, c, t)
	}
	return all
}

// debugTokens makes the calls of inspect in one. The URLs within are in the
// body of the request, and so are the tokens. The answers have one trace.
func (p *Provider) debugTokens(ctx context.Context, c oauth.Client, tokens []oauth.Token) (answers []*batchAnswer, trace string, err error) {
	const op = "inspecting tokens"
	calls, secrets := make([]batched, len(tokens)), []oauth.Secret{c.Secret}
	for i, t := range tokens {
		q := url.Values{"input_token": {t.AccessToken.Reveal()}}
		calls[i] = batched{http.MethodGet, c.APIVersion + "/debug_token?" + q.Encode()}
		secrets = append(secrets, t.AccessToken)
	}
	batch, err := json.Marshal(calls)
	if err != nil {
		return nil, "", &provider.Error{Class: provider.Transient, Op: op, Message: "the batch cannot be written"}
	}
	var header http.Header
	err = p.call(ctx, request{
		op:     op,
		method: http.MethodPost,
		url:    c.APIBase + "/" + c.APIVersion + "/",
		form: url.Values{
			"access_token": {appToken(c).Reveal()}, "appsecret_proof": {appProof(c)}, "include_headers": {"false"}, "batch": {string(batch)},
		},
		client:  true,
		header:  &header,
		secrets: secrets,
	}, &answers)
	if err == nil && len(answers) != len(tokens) {
		err = &provider.Error{Class: provider.Transient, Op: op, Message: "the batch has another number of answers than of calls"}
	}
	return answers, header.Get(traceHeader), err
}

// inspected returns what one answer of a batch says of t.
func inspected(c oauth.Client, t oauth.Token, a *batchAnswer, trace string) (oauth.Token, error) {
	r := request{op: inspecting, client: true, secrets: []oauth.Secret{c.Secret, t.AccessToken}}
	if a == nil {
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Op: inspecting, Message: "the provider did not come to it within the batch"}
	}
	if err := refusal(r, a.Code, []byte(a.Body)); err != nil {
		return oauth.Token{}, err
	}
	answer := inspection{trace: trace}
	if err := json.Unmarshal([]byte(a.Body), &answer); err != nil {
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Op: inspecting, Message: "the answer is not the JSON that was expected"}
	}
	return answer.of(c, t)
}

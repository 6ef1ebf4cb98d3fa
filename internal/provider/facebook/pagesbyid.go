package facebook

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// pagePermissions begin the names of the permissions whose granular targets are pages
// (Meta: "Permissions in Graph API", granular permissions).
const pagePermissions = "pages_"

// named returns the ids of the pages that the granular scopes of t name, sorted. A page that
// is held through a business portfolio is named there, and not listed (reports).
func named(t oauth.Token) []string {
	var ids []string
	for _, granular := range t.Granular {
		if strings.HasPrefix(granular.Scope, pagePermissions) {
			ids = append(ids, granular.Targets...)
		}
	}
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return strings.Trim(id, "0123456789") != "" || len(id) > maxID })
	return ids[:min(len(ids), maxPages)]
}

// byID returns those of the pages with these ids that t reaches (Meta: "Page"). A page is
// left out if Facebook refuses it or gives no token for it; any other failure says nothing
// of the pages, and is returned.
func (p pages) byID(ctx context.Context, c oauth.Client, t oauth.Token, ids []string) (reached []provider.Page, err error) {
	for some := range slices.Chunk(ids, batchLimit) {
		pages, err := provider.WithEither(ctx, c, func(c oauth.Client) ([]provider.Page, error) { return p.batchByID(ctx, c, t, some) })
		if err != nil {
			return nil, err
		}
		reached = append(reached, pages...)
	}
	return reached, nil
}

// batchByID is byID for as many pages as fit into one batch.
func (p pages) batchByID(ctx context.Context, c oauth.Client, t oauth.Token, ids []string) ([]provider.Page, error) {
	r := request{op: "reading pages by their ids", bearer: t.AccessToken, secrets: []oauth.Secret{c.Secret, t.AccessToken}}
	q := url.Values{"fields": {pageFields}, "appsecret_proof": {proof(c, t.AccessToken.Reveal())}}
	calls := make([]batched, len(ids))
	for i, id := range ids {
		calls[i] = batched{http.MethodGet, c.APIVersion + "/" + id + "?" + q.Encode()}
	}
	answers, err := p.batch(ctx, r, c, calls)
	if err != nil {
		return nil, err
	}
	var reached []provider.Page
	for i, a := range answers {
		if a.timedOut {
			return nil, &provider.Error{Class: provider.Transient, Op: r.op, Message: "the provider had no time for all of them"}
		}
		if refused := refusal(r, a.Code, []byte(a.Body)); refused != nil {
			if refused.Class == provider.Permission || refused.Class == provider.Caller || refused.Concerns == provider.ConcernsRequest {
				continue // it is this page's, such as "was migrated to page ID" (21), and must not withhold the others
			}
			return nil, refused
		}
		var page listedPage
		if err := json.Unmarshal([]byte(a.Body), &page); err != nil || page.ID == "" {
			return nil, &provider.Error{Class: provider.Transient, Op: r.op, Message: "the answer is no page"}
		}
		if page.AccessToken != "" && string(page.ID) == ids[i] {
			reached = append(reached, p.page(page))
		}
	}
	return reached, nil
}

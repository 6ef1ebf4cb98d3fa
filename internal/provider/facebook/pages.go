package facebook

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

const (
	// pagesAtOnce is how many pages one call asks for; maxPages is more than
	// anybody was seen to manage, and ends a list that does not.
	pagesAtOnce = 100
	maxPages    = 5000
)

// accounts is the answer of the accounts edge (Meta: "User Accounts").
type accounts struct {
	Data *[]struct {
		ID          pageID   `json:"id"`
		Name        string   `json:"name"`
		AccessToken string   `json:"access_token"`
		Tasks       []string `json:"tasks"`
	} `json:"data"`
	Paging struct {
		Cursors struct {
			After string `json:"after"`
		} `json:"cursors"`
		// Next leads to the rest of the list. It holds the token and no proof, so
		// the cursor is followed instead.
		Next string `json:"next"`
	} `json:"paging"`
}

// pageID is "" for what is no page's id: the others in the list still are.
type pageID string

// UnmarshalJSON implements [json.Unmarshaler].
func (id *pageID) UnmarshalJSON(b []byte) error {
	var decimal decimalID
	_ = decimal.UnmarshalJSON(b)
	*id = pageID(decimal)
	return nil
}

// pages lists the pages that tokens reach.
type pages struct{ *graph }

// Pages implements [provider.Pager]. A page token of a long-lived user token
// does not expire (Meta: "Long-Lived Access Tokens").
func (p pages) Pages(ctx context.Context, c oauth.Client, t oauth.Token) ([]provider.Page, error) {
	var pages []provider.Page
	after := ""
	for range maxPages / pagesAtOnce {
		answer, err := provider.WithEither(ctx, c, func(c oauth.Client) (accounts, error) { return p.accounts(ctx, c, t, after) })
		if err != nil {
			return nil, err
		}
		if answer.Data == nil {
			return nil, &provider.Error{Class: provider.Transient, Op: "listing the pages", Message: "the answer holds no list"}
		}
		for _, page := range *answer.Data {
			// One without a token is listed, and the account may do nothing on it.
			if page.AccessToken != "" && page.ID != "" {
				pages = append(pages, p.page(string(page.ID), page.Name, page.Tasks, page.AccessToken))
			}
		}
		if answer.Paging.Next == "" {
			return pages, nil
		}
		if answer.Paging.Cursors.After == "" || answer.Paging.Cursors.After == after {
			break
		}
		after = answer.Paging.Cursors.After
	}
	// What was not listed to its end says nothing of what is missing.
	return nil, &provider.Error{Class: provider.Transient, Op: "listing the pages", Message: "the list does not end"}
}

// maxTasks is more than Facebook has.
const maxTasks = 32

func (p pages) page(id, name string, tasks []string, token string) provider.Page {
	page := provider.Page{ID: id, Name: clean(name), Token: oauth.Token{
		AccessToken: oauth.NewSecret(token), Type: "bearer", IssuedAt: p.now().UTC(),
	}}
	for _, task := range tasks[:min(len(tasks), maxTasks)] {
		page.Tasks = append(page.Tasks, clean(task))
	}
	return page
}

func (p pages) accounts(ctx context.Context, c oauth.Client, t oauth.Token, after string) (answer accounts, err error) {
	q := url.Values{
		"fields":          {"id,name,access_token,tasks"},
		"limit":           {strconv.Itoa(pagesAtOnce)},
		"appsecret_proof": {proof(c, t.AccessToken.Reveal())},
	}
	if after != "" {
		q.Set("after", after)
	}
	err = p.call(ctx, request{
		op:      "listing the pages",
		method:  http.MethodGet,
		url:     c.APIBase + "/" + c.APIVersion + "/me/accounts?" + q.Encode(),
		bearer:  t.AccessToken,
		secrets: []oauth.Secret{c.Secret, t.AccessToken},
	}, &answer)
	return answer, err
}

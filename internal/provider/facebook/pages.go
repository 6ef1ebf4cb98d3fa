package facebook

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// maxPages is more pages than any account was seen to manage. It ends a list that does not.
const maxPages = 5000

// listSizes are how many pages one call asks for: fewer after a refusal of a larger number,
// and after an empty answer.
var listSizes = []int{100, 25, 5}

// pageFields are the fields of a page that are asked for.
const pageFields = "id,name,access_token,tasks"

// A listedPage is a page, in a list or by itself (Meta: "User Accounts", "Page").
type listedPage struct {
	ID          pageID   `json:"id"`
	Name        string   `json:"name"`
	AccessToken string   `json:"access_token"`
	Tasks       []string `json:"tasks"`
}

// accounts is the answer of the accounts edge (Meta: "User Accounts").
type accounts struct {
	Data   *[]listedPage `json:"data"`
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
// does not expire (Meta: "Long-Lived Access Tokens"). Pages that the granular scopes name
// and the list has not are read by their ids.
func (p pages) Pages(ctx context.Context, c oauth.Client, t oauth.Token) ([]provider.Page, error) {
	listed, err := p.list(ctx, c, t)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, page := range listed {
		have[page.ID] = true
	}
	unlisted := slices.DeleteFunc(named(t), func(id string) bool { return have[id] })
	more, err := p.byID(ctx, c, t, unlisted)
	if err != nil {
		return nil, err
	}
	return append(listed, more...), nil
}

// list lists the pages on the accounts edge. Facebook fails at a list that it finds too
// large, and may answer none for a moment (reports): then it is asked for less.
func (p pages) list(ctx context.Context, c oauth.Client, t oauth.Token) (listed []provider.Page, err error) {
	for i, size := range listSizes {
		var empty bool
		listed, empty, err = p.listBy(ctx, c, t, size)
		if again := tooMuch(err) || empty && i == 0; !again {
			break
		}
	}
	return listed, err
}

// tooMuch reports whether err refuses a list for its size.
func tooMuch(err error) bool {
	var e *provider.Error
	return errors.As(err, &e) && e.Code == 1 && strings.Contains(e.Message, "reduce the amount of data")
}

// listBy lists the pages, size of them with each call. Empty: there is no page at all, not
// even one without a token.
func (p pages) listBy(ctx context.Context, c oauth.Client, t oauth.Token, size int) (listed []provider.Page, empty bool, err error) {
	after := ""
	for seen := 0; seen < maxPages; {
		answer, err := provider.WithEither(ctx, c, func(c oauth.Client) (accounts, error) { return p.accounts(ctx, c, t, size, after) })
		if err != nil {
			return nil, false, err
		}
		if answer.Data == nil {
			return nil, false, &provider.Error{Class: provider.Transient, Op: listingPages, Message: "the answer holds no list"}
		}
		for _, page := range *answer.Data {
			// One without a token is listed, and the account may do nothing on it.
			if page.AccessToken != "" && page.ID != "" {
				listed = append(listed, p.page(page))
			}
		}
		if answer.Paging.Next == "" {
			return listed, seen == 0 && len(*answer.Data) == 0, nil
		}
		if answer.Paging.Cursors.After == "" || answer.Paging.Cursors.After == after {
			break
		}
		after = answer.Paging.Cursors.After
		seen += size
	}
	// What was not listed to its end says nothing of what is missing.
	return nil, false, &provider.Error{Class: provider.Transient, Op: listingPages, Message: "the list does not end"}
}

// listingPages is what goes wrong where a list does.
const listingPages = "listing the pages"

// tasks are what people must be able to do on a page for a permission to be of use there
// (Meta: "Permissions Reference", "Pages API").
var tasks = map[string]string{
	"pages_manage_posts":      "CREATE_CONTENT",
	"pages_manage_engagement": "MODERATE",
	"pages_messaging":         "MESSAGING",
	"pages_manage_metadata":   "MANAGE",
	"read_insights":           "ANALYZE",
	"ads_management":          "ADVERTISE",
}

// TaskFor implements [provider.Pager].
func (pages) TaskFor(scope string) string { return tasks[scope] }

// maxTasks is more than Facebook has.
const maxTasks = 32

func (p pages) page(listed listedPage) provider.Page {
	page := provider.Page{ID: string(listed.ID), Name: clean(listed.Name), Token: oauth.Token{
		AccessToken: oauth.NewSecret(listed.AccessToken), Type: "bearer", IssuedAt: p.now().UTC(),
	}}
	for _, task := range listed.Tasks[:min(len(listed.Tasks), maxTasks)] {
		page.Tasks = append(page.Tasks, clean(task))
	}
	return page
}

func (p pages) accounts(ctx context.Context, c oauth.Client, t oauth.Token, size int, after string) (answer accounts, err error) {
	q := url.Values{
		"fields":          {pageFields},
		"limit":           {strconv.Itoa(size)},
		"appsecret_proof": {proof(c, t.AccessToken.Reveal())},
	}
	if after != "" {
		q.Set("after", after)
	}
	err = p.call(ctx, request{
		op:      listingPages,
		method:  http.MethodGet,
		url:     c.APIBase + "/" + c.APIVersion + "/me/accounts?" + q.Encode(),
		bearer:  t.AccessToken,
		secrets: []oauth.Secret{c.Secret, t.AccessToken},
	}, &answer)
	return answer, err
}

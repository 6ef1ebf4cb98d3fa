package facebook_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// list returns an answer of the accounts edge that lists n pages from the first
// id on; paging is its JSON.
func list(first, n int, paging string) authpipetest.Fault {
	var pages []string
	for i := range n {
		pages = append(pages, fmt.Sprintf(`{"id":"%d","name":"P","access_token":"EAA%d"}`, first+i, first+i))
	}
	return authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Times: 1, Body: `{"data":[` + strings.Join(pages, ",") + `],"paging":` + paging + `}`}
}

func TestWhatIsNoPageIsLeftOut(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	defer w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Body: `{"data":[
		{"id":"777","name":"A","access_token":"EAAa","tasks":[]},
		{"id":"x_1","name":"an odd id","access_token":"EAAb"},
		{"id":"../x","access_token":"EAAc"},
		{"id":"779","name":"one that the account may do nothing on","tasks":[]},
		{"id":"780","name":"likewise","access_token":""},
		{"id":778,"name":"C","access_token":"EAAd"}]}`})()
	pages, err := w.Pages(t.Context(), w.client, token)
	if err != nil || len(pages) != 2 || pages[0].ID != "777" || pages[1].ID != "778" {
		t.Errorf("%v, %v", pages, err)
	}
}

// TestAListThatIsNotWholeIsNone keeps pages from being forgotten because they
// were not listed: what is missing from half a list may be in the other half.
func TestAListThatIsNotWholeIsNone(t *testing.T) {
	const next = `,"next":"https://graph.facebook.com/next"`
	for name, row := range map[string]struct {
		answers []authpipetest.Fault
		calls   int
	}{
		"no object":             {[]authpipetest.Fault{{Body: `null`}}, 1},
		"an object of nobody's": {[]authpipetest.Fault{{Body: `{}`}}, 1},
		"a list that is null":   {[]authpipetest.Fault{{Body: `{"data":null}`}}, 1},
		"another answer":        {[]authpipetest.Fault{{Body: `{"success":true}`}}, 1},
		"a next without a cursor": {[]authpipetest.Fault{
			list(1, 2, `{"next":"https://graph.facebook.com/next"}`),
		}, 1},
		"a next without a cursor, further on": {[]authpipetest.Fault{
			list(1, 2, `{"cursors":{"after":"A"}`+next+`}`), list(3, 2, `{"cursors":{}`+next+`}`),
		}, 2},
		"the same cursor again": {[]authpipetest.Fault{
			list(1, 2, `{"cursors":{"after":"A"}`+next+`}`), list(1, 2, `{"cursors":{"after":"A"}`+next+`}`),
		}, 2},
		"a half that cannot be fetched": {[]authpipetest.Fault{
			list(1, 2, `{"cursors":{"after":"A"}`+next+`}`), {Status: 503, Body: "<html>"},
		}, 2},
	} {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(t)
		for _, answer := range row.answers {
			answer.Endpoint, answer.ContentType = authpipetest.EndpointAccounts, "application/json"
			w.fb.Fail(answer)
		}
		pages, err := w.Pages(t.Context(), w.client, token)
		if provider.ClassOf(err) != provider.Transient || err == nil || pages != nil {
			t.Errorf("%s: %v, %v", name, pages, err)
		}
		if got := w.fb.Count(authpipetest.EndpointAccounts); got != row.calls {
			t.Errorf("%s: %d calls", name, got)
		}
	}
}

func TestAListWithoutAnEndIsGivenUp(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	const more = 100
	for i := range more {
		w.fb.Fail(list(1+i, 1, fmt.Sprintf(`{"cursors":{"after":"A%d"},"next":"https://graph.facebook.com/next"}`, i)))
	}
	pages, err := w.Pages(t.Context(), w.client, token)
	if provider.ClassOf(err) != provider.Transient || err == nil || pages != nil {
		t.Errorf("%d pages, %v", len(pages), err)
	}
	if got := w.fb.Count(authpipetest.EndpointAccounts); got >= more {
		t.Errorf("%d calls", got)
	}
}

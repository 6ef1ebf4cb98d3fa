package judges

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/endpoints"
	"golang.org/x/oauth2/facebook"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// read fetches JSON with a client.
func read(t *testing.T, client *http.Client, method, address string, form url.Values, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: status %d", method, address, response.StatusCode)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// The package facebook has v3.2, which a newer version serves, and leaves the authentication style to the library: it tries HTTP Basic
// first, which Facebook refuses without using up the code, and then parameters.
func TestOAuth2LogsInPostsAndDeletes(t *testing.T) {
	for name, endpoint := range map[string]oauth2.Endpoint{"facebook.Endpoint": facebook.Endpoint, "endpoints.Facebook": endpoints.Facebook} {
		t.Run(name, func(t *testing.T) {
			fb := newSimulator(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife})
			ctx := context.WithValue(t.Context(), oauth2.HTTPClient, fb.client)
			config := oauth2.Config{ClientID: appID, ClientSecret: appSecret, Endpoint: endpoint, RedirectURL: callback, Scopes: strings.Split(scope, ",")}
			token, err := config.Exchange(ctx, fb.login(config.AuthCodeURL("s-1", oauth2.AccessTypeOffline), "s-1").Get("code"))
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(token.Expiry); !token.Valid() || token.RefreshToken != "" || left > authpipetest.ShortLife {
				t.Errorf("token %+v", token)
			}
			client := config.Client(ctx, token)
			const graph = "https://graph.facebook.com/v27.0"
			var me struct{ ID, Name, Email string }
			read(t, client, http.MethodGet, graph+"/me?fields=id,name,email", nil, &me)
			if me.Name != "Ada Admin" || me.Email != "ada@example.com" {
				t.Errorf("me %+v", me)
			}
			var extended struct {
				AccessToken string `json:"access_token"`
				ExpiresIn   int    `json:"expires_in"`
			}
			read(t, fb.client, http.MethodGet, graph+"/oauth/access_token?"+url.Values{
				"grant_type": {"fb_exchange_token"}, "client_id": {appID}, "client_secret": {appSecret}, "fb_exchange_token": {token.AccessToken},
			}.Encode(), nil, &extended)
			if extended.ExpiresIn < 5_000_000 {
				t.Errorf("extended by %d seconds", extended.ExpiresIn)
			}

			// the pages, one at a time, as paging.next leads
			client = config.Client(ctx, &oauth2.Token{AccessToken: extended.AccessToken})
			var pages []struct {
				ID          string
				AccessToken string `json:"access_token"`
			}
			for at := graph + "/me/accounts?limit=1"; at != ""; {
				var listed struct {
					Data []struct {
						ID          string
						AccessToken string `json:"access_token"`
					}
					Paging struct{ Next string }
				}
				read(t, client, http.MethodGet, at, nil, &listed)
				pages, at = append(pages, listed.Data...), listed.Paging.Next
			}
			if len(pages) != 2 || pages[0].ID != pageID {
				t.Fatalf("pages %+v", pages)
			}
			page := config.Client(ctx, &oauth2.Token{AccessToken: pages[0].AccessToken})
			var post struct{ ID string }
			read(t, page, http.MethodPost, graph+"/"+pageID+"/feed", url.Values{"message": {"Hello"}}, &post)
			var deleted struct{ Success bool }
			read(t, page, http.MethodDelete, graph+"/"+post.ID, nil, &deleted)
			if !deleted.Success || len(fb.Posts(pageID)) != 0 {
				t.Errorf("deleted %v, left %+v", deleted, fb.Posts(pageID))
			}
		})
	}
}

// Facebook's error is an object, but in RFC 6749 a string: the library returns the body, and no code.
func TestOAuth2ReturnsBodyOfRefusal(t *testing.T) {
	fb := newSimulator(t, authpipetest.Options{})
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, fb.client)
	config := oauth2.Config{ClientID: appID, ClientSecret: appSecret, Endpoint: endpoints.Facebook, RedirectURL: callback}
	_, err := config.Exchange(ctx, "spoilt")
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.ErrorCode != "" || !strings.Contains(string(refused.Body), "Invalid verification code format.") {
		t.Errorf("error %v", err)
	}
}

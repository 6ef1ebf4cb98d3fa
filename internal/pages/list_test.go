package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestPageHasItsOwnToken(t *testing.T) {
	for name, above := range map[string]string{"through the installation": "org_acme/facebook/", "through a user": "org_acme/facebook/users/ada/"} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Facebook.AddApp(authpipetest.App{ID: enginetest.AppID, Secret: enginetest.AppSecret, RequireAppSecret: true, RedirectURIs: []string{enginetest.MountURL + "/callback/facebook"}})
			e.Install()
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list,pages_manage_posts,pages_read_engagement"})
			e.Connect("org_acme/facebook/users/ada", "ada", authpipetest.Consent{User: "ada"})
			c := e.Read("creds/" + above + "pages/777")
			token, _ := e.Facebook.Inspect(c["access_token"].(string))
			if token.Kind != authpipetest.KindPage || token.Page != "777" || c["credential_for"] != "page" || c["page_id"] != "777" || c["name"] != "Page A" || c["expires_at"] != nil {
				t.Errorf("served is %v, which is %+v", c, token)
			}
			if status := post(e, "/v27.0/777/feed", url.Values{"message": {"hello"}, "access_token": {c["access_token"].(string)}, "appsecret_proof": {c["appsecret_proof"].(string)}}); status != 200 {
				t.Errorf("posting with it is answered %d", status)
			}
			if posts := e.Facebook.Posts("777"); len(posts) != 1 {
				t.Errorf("the page has %d posts", len(posts))
			}
			n := e.Facebook.Count("")
			if diff := cmp.Diff(c, e.Read("creds/"+above+"pages/777")); diff != "" || e.Facebook.Count("") != n {
				t.Errorf("read again, with %d calls: %s", e.Facebook.Count("")-n, diff)
			}
		})
	}
}

func TestPagesAreListedWithNameAndTasks(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Facebook.AddPage(authpipetest.Page{ID: "777", Name: "Page A", Tasks: []string{"ANALYZE", "CREATE_CONTENT"}})
	e.Install()
	list := e.Must(logical.ListOperation, "creds/org_acme/facebook/pages/", nil)
	if diff := cmp.Diff([]string{"777", "778"}, list["keys"]); diff != "" {
		t.Error(diff)
	}
	info := list["key_info"].(map[string]any)["777"].(map[string]any)
	if info["name"] != "Page A" || cmp.Diff([]string{"ANALYZE", "CREATE_CONTENT"}, info["tasks"]) != "" {
		t.Errorf("key_info is %v", info)
	}
	n := e.Facebook.Count(authpipetest.EndpointAccounts)
	e.Must(logical.ListOperation, "connections/org_acme/facebook/pages/", nil)
	if got := e.Facebook.Count(authpipetest.EndpointAccounts); got != n {
		t.Errorf("the second list made %d calls", got-n)
	}
	if diff := cmp.Diff([]string{"installation", "pages/"}, e.Must(logical.ListOperation, "creds/org_acme/facebook/", nil)["keys"]); diff != "" {
		t.Error(diff)
	}
}

func TestOnlySelectedPagesAreReached(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"778"}})
	text := e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	if !strings.Contains(text, "connect/"+enginetest.Installation) {
		t.Errorf("the error names no way out: %s", text)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/org_acme/facebook/users/nobody/pages/777", nil)
	e.Refused("not_found", 404, logical.ListOperation, "creds/org_acme/facebook/users/nobody/pages/", nil)
	// Connected again with both, and then with one.
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada"})
	e.Read("creds/" + enginetest.Page777)
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"778"}})
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Page777, nil)
}

func TestGranularScopesNameTheirTargets(t *testing.T) {
	for _, numbers := range []bool{false, true} {
		e := enginetest.New(t, authpipetest.Options{TargetIDsAsNumbers: numbers})
		e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"778"}})
		want := []map[string]any{
			{"scope": "pages_manage_posts", "target_ids": []string{"778"}},
			{"scope": "pages_read_engagement", "target_ids": []string{"778"}},
			{"scope": "pages_show_list", "target_ids": []string{"778"}},
		}
		if diff := cmp.Diff(want, e.Read("creds/" + enginetest.Installation)["granular_scopes"]); diff != "" {
			t.Errorf("numbers %v: %s", numbers, diff)
		}
		e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada"})
		if got := e.Read("creds/" + enginetest.Installation)["granular_scopes"]; got != nil {
			t.Errorf("granted for all, and granular_scopes is %v", got)
		}
	}
}

func TestPageFollowsItsParent(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	before := e.Read("creds/" + enginetest.Page777)["access_token"]
	e.Clock.Advance(20 * 24 * time.Hour)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
	repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Reset: true})
	resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	if err != nil || resp.Data["access_token"] != before || len(resp.Warnings) != 1 {
		t.Errorf("while the provider cannot be reached: %v, %v", resp, err)
	}
	repair()
	e.Clock.Advance(time.Minute) // the provider is not asked again before
	n := e.Facebook.Count(authpipetest.EndpointAccounts)
	e.Read("creds/" + enginetest.Page777)
	if got := e.Facebook.Count(authpipetest.EndpointAccounts); got != n+1 {
		t.Errorf("after a refresh above it the page was fetched %d times", got-n)
	}

	e.Facebook.RemoveApp(enginetest.AppID, "ada")
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Page777+"/refresh", nil)
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
	e.Install()
	e.Read("creds/" + enginetest.Page777)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.After(2 * time.Minute)
	keys, _ := e.Storage.Keys(t.Context(), "cred/")
	if len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestUserDeleteDeletesItsPages(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list", "require_installation": false})
	const ada = "org_acme/facebook/users/ada"
	e.Connect(ada, "ada", authpipetest.Consent{User: "ada"})
	e.Read("creds/" + ada + "/pages/778")
	token := e.Read("creds/" + ada)["access_token"].(string)
	if resp, err := e.Do(logical.DeleteOperation, "creds/"+ada, nil); err != nil || resp != nil {
		t.Errorf("the pages keep the grant: %v, %v", resp, err)
	}
	if known, _ := e.Facebook.Inspect(token); known.Valid {
		t.Error("the grant was not revoked")
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+ada+"/pages/778", nil)
	if keys, _ := e.Storage.Keys(t.Context(), "cred/"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestUserPagesAreListedRefreshedAndChecked(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list,pages_read_engagement", "require_installation": false})
	const ada = "org_acme/facebook/users/ada"
	e.Connect(ada, "ada", authpipetest.Consent{User: "ada"})
	for _, tree := range []string{"creds/", "connections/"} {
		if diff := cmp.Diff([]string{"777", "778"}, e.Must(logical.ListOperation, tree+ada+"/pages/", nil)["keys"]); diff != "" {
			t.Errorf("%s: %s", tree, diff)
		}
	}
	first := e.Read("creds/" + ada + "/pages/778")["access_token"]
	for _, verb := range []string{"/refresh", "/check"} {
		if c := e.Must(logical.UpdateOperation, "connections/"+ada+"/pages/778"+verb, nil); c["status"] != "active" || c["ref"] != ada+"/pages/778" {
			t.Errorf("%s answers %v", verb, c)
		}
	}
	if known, _ := e.Facebook.Inspect(first.(string)); !known.Valid {
		t.Error("the token that was served has died of it")
	}
}

func TestManyPagesAreListed(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	var ids []string
	for i := range 250 {
		id := "9" + strings.Repeat("0", 3) + string(rune('0'+i/100)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
		ids = append(ids, id)
		e.Facebook.AddPage(authpipetest.Page{ID: id, Name: "Page " + id})
	}
	e.Facebook.AddUser(authpipetest.User{ID: "ada", Pages: ids})
	e.Install()
	if diff := cmp.Diff(ids, e.Must(logical.ListOperation, "creds/org_acme/facebook/pages/", nil)["keys"]); diff != "" {
		t.Error(diff)
	}
	if got := e.Facebook.Count(authpipetest.EndpointAccounts); got != 3 {
		t.Errorf("fetched with %d calls", got)
	}
}

// post asks the provider directly and returns the status.
func post(e *enginetest.Engine, path string, form url.Values) int {
	e.T.Helper()
	resp, err := http.PostForm(e.Facebook.URL+path, form)
	if err != nil {
		e.T.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestPageFetchedDuringDeleteIsDeleted(t *testing.T) {
	for name, part := range map[string]func(e *enginetest.Engine){
		"with a deletion that the provider asked for": func(e *enginetest.Engine) {
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
			e.Clock.Advance(2 * time.Minute)
			e.Sweep(t.Context())
		},
		"with a disconnection": func(e *enginetest.Engine) { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) },
	} {
		for _, page := range []string{"777", "778"} {
			t.Run(name+", "+page, func(t *testing.T) {
				e := enginetest.Connected(t, authpipetest.Options{})
				e.Facebook.AddUser(authpipetest.User{ID: "uma", Name: "Uma User", Pages: []string{"777", "778"}})
				e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}, "scopes", "pages_show_list")
				reached, release := e.Storage.Hold("put", "cred/"+enginetest.Uma+"/pages/"+page)
				var fetching sync.WaitGroup
				fetching.Go(func() { e.Do(logical.ReadOperation, "creds/"+enginetest.Uma+"/pages/777", nil) })
				<-reached
				part(e)
				release()
				fetching.Wait()
				for range 3 {
					e.After(10 * time.Minute)
				}
				if keys, err := e.Storage.Keys(t.Context(), "cred/"+enginetest.Uma); err != nil || len(keys) != 0 {
					t.Errorf("left is %v, %v", keys, err)
				}
			})
		}
	}
}

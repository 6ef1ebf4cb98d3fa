package backend_test

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
)

const page777 = "org_acme/facebook/pages/777"

func TestAPageHasATokenOfItsOwn(t *testing.T) {
	for name, above := range map[string]string{"through the installation": "org_acme/facebook/", "through a user": "org_acme/facebook/users/ada/"} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{mountURL + "/callback/facebook"}})
			e.install()
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list,pages_manage_posts,pages_read_engagement"})
			e.connect("org_acme/facebook/users/ada", "ada", authpipetest.Consent{User: "ada"})
			c := e.read("creds/" + above + "pages/777")
			token, _ := e.fb.Inspect(c["access_token"].(string))
			if token.Kind != authpipetest.KindPage || token.Page != "777" || c["credential_for"] != "page" || c["page_id"] != "777" || c["name"] != "Page A" || c["expires_at"] != nil {
				t.Errorf("served is %v, which is %+v", c, token)
			}
			if status := e.post("/v27.0/777/feed", url.Values{"message": {"hello"}, "access_token": {c["access_token"].(string)}, "appsecret_proof": {c["appsecret_proof"].(string)}}); status != 200 {
				t.Errorf("posting with it is answered %d", status)
			}
			if posts := e.fb.Posts("777"); len(posts) != 1 {
				t.Errorf("the page has %d posts", len(posts))
			}
			n := e.fb.Count("")
			if diff := cmp.Diff(c, e.read("creds/"+above+"pages/777")); diff != "" || e.fb.Count("") != n {
				t.Errorf("read again, with %d calls: %s", e.fb.Count("")-n, diff)
			}
		})
	}
}

func TestPagesAreListedWithNameAndTasks(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.fb.AddPage(authpipetest.Page{ID: "777", Name: "Page A", Tasks: []string{"ANALYZE", "CREATE_CONTENT"}})
	e.install()
	list := e.must(logical.ListOperation, "creds/org_acme/facebook/pages/", nil)
	if diff := cmp.Diff([]string{"777", "778"}, list["keys"]); diff != "" {
		t.Error(diff)
	}
	info := list["key_info"].(map[string]any)["777"].(map[string]any)
	if info["name"] != "Page A" || cmp.Diff([]string{"ANALYZE", "CREATE_CONTENT"}, info["tasks"]) != "" {
		t.Errorf("key_info is %v", info)
	}
	n := e.fb.Count(authpipetest.EndpointAccounts)
	e.must(logical.ListOperation, "connections/org_acme/facebook/pages/", nil)
	if got := e.fb.Count(authpipetest.EndpointAccounts); got != n {
		t.Errorf("the second list made %d calls", got-n)
	}
	if diff := cmp.Diff([]string{"installation", "pages/"}, e.must(logical.ListOperation, "creds/org_acme/facebook/", nil)["keys"]); diff != "" {
		t.Error(diff)
	}
}

func TestOnlySelectedPagesAreReached(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.connect(installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"778"}})
	text := e.refused("not_found", 404, logical.ReadOperation, "creds/"+page777, nil)
	if !strings.Contains(text, "connect/"+installation) {
		t.Errorf("the error names no way out: %s", text)
	}
	e.refused("not_found", 404, logical.ReadOperation, "creds/org_acme/facebook/users/nobody/pages/777", nil)
	e.refused("not_found", 404, logical.ListOperation, "creds/org_acme/facebook/users/nobody/pages/", nil)
	// Connected again with both, and then with one.
	e.connect(installation, "admin", authpipetest.Consent{User: "ada"})
	e.read("creds/" + page777)
	e.connect(installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"778"}})
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+page777, nil)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+page777, nil)
}

func TestGranularScopesNameTheirTargets(t *testing.T) {
	for _, numbers := range []bool{false, true} {
		e := newEngine(t, authpipetest.Options{TargetIDsAsNumbers: numbers})
		e.connect(installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"778"}})
		want := []map[string]any{
			{"scope": "pages_manage_posts", "target_ids": []string{"778"}},
			{"scope": "pages_read_engagement", "target_ids": []string{"778"}},
			{"scope": "pages_show_list", "target_ids": []string{"778"}},
		}
		if diff := cmp.Diff(want, e.read("creds/" + installation)["granular_scopes"]); diff != "" {
			t.Errorf("numbers %v: %s", numbers, diff)
		}
		e.connect(installation, "admin", authpipetest.Consent{User: "ada"})
		if got := e.read("creds/" + installation)["granular_scopes"]; got != nil {
			t.Errorf("granted for all, and granular_scopes is %v", got)
		}
	}
}

func TestAPageLivesAndDiesWithWhatIsAboveIt(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	before := e.read("creds/" + page777)["access_token"]
	e.clock.Advance(20 * 24 * time.Hour)
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
	repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Reset: true})
	resp, err := e.do(logical.ReadOperation, "creds/"+page777, nil)
	if err != nil || resp.Data["access_token"] != before || len(resp.Warnings) != 1 {
		t.Errorf("while the provider cannot be reached: %v, %v", resp, err)
	}
	repair()
	e.clock.Advance(time.Minute) // the provider is not asked again before
	n := e.fb.Count(authpipetest.EndpointAccounts)
	e.read("creds/" + page777)
	if got := e.fb.Count(authpipetest.EndpointAccounts); got != n+1 {
		t.Errorf("after a refresh above it the page was fetched %d times", got-n)
	}

	e.fb.RemoveApp(appID, "ada")
	e.refused("revoked", 409, logical.UpdateOperation, "connections/"+page777+"/refresh", nil)
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+page777, nil)
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+installation, nil)
	e.install()
	e.read("creds/" + page777)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(2 * time.Minute)
	keys, _ := e.storage.Keys(t.Context(), "cred/")
	if len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestAUsersPagesGoWithTheUser(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list", "require_installation": false})
	const ada = "org_acme/facebook/users/ada"
	e.connect(ada, "ada", authpipetest.Consent{User: "ada"})
	e.read("creds/" + ada + "/pages/778")
	token := e.read("creds/" + ada)["access_token"].(string)
	if resp, err := e.do(logical.DeleteOperation, "creds/"+ada, nil); err != nil || resp != nil {
		t.Errorf("the pages keep the grant: %v, %v", resp, err)
	}
	if known, _ := e.fb.Inspect(token); known.Valid {
		t.Error("the grant was not revoked")
	}
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+ada+"/pages/778", nil)
	if keys, _ := e.storage.Keys(t.Context(), "cred/"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestAUsersPagesAreListedRefreshedAndChecked(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list,pages_read_engagement", "require_installation": false})
	const ada = "org_acme/facebook/users/ada"
	e.connect(ada, "ada", authpipetest.Consent{User: "ada"})
	for _, tree := range []string{"creds/", "connections/"} {
		if diff := cmp.Diff([]string{"777", "778"}, e.must(logical.ListOperation, tree+ada+"/pages/", nil)["keys"]); diff != "" {
			t.Errorf("%s: %s", tree, diff)
		}
	}
	first := e.read("creds/" + ada + "/pages/778")["access_token"]
	for _, verb := range []string{"/refresh", "/check"} {
		if c := e.must(logical.UpdateOperation, "connections/"+ada+"/pages/778"+verb, nil); c["status"] != "active" || c["ref"] != ada+"/pages/778" {
			t.Errorf("%s answers %v", verb, c)
		}
	}
	if known, _ := e.fb.Inspect(first.(string)); !known.Valid {
		t.Error("the token that was served has died of it")
	}
}

func TestManyPagesAreListedWhole(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	var ids []string
	for i := range 250 {
		id := "9" + strings.Repeat("0", 3) + string(rune('0'+i/100)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
		ids = append(ids, id)
		e.fb.AddPage(authpipetest.Page{ID: id, Name: "Page " + id})
	}
	e.fb.AddUser(authpipetest.User{ID: "ada", Pages: ids})
	e.install()
	if diff := cmp.Diff(ids, e.must(logical.ListOperation, "creds/org_acme/facebook/pages/", nil)["keys"]); diff != "" {
		t.Error(diff)
	}
	if got := e.fb.Count(authpipetest.EndpointAccounts); got != 3 {
		t.Errorf("fetched with %d calls", got)
	}
}

// post asks the provider directly and returns the status.
func (e *engine) post(path string, form url.Values) int {
	e.t.Helper()
	resp, err := http.PostForm(e.base+path, form)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestAPageThatWasBeingFetchedGoesToo(t *testing.T) {
	for name, part := range map[string]func(e *engine){
		"with a deletion that the provider asked for": func(e *engine) {
			e.fb.RemoveApp(appID, "uma")
			e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
			e.clock.Advance(2 * time.Minute)
			e.Sweep(t.Context())
		},
		"with a disconnection": func(e *engine) { e.must(logical.DeleteOperation, "creds/"+uma, nil) },
	} {
		for _, page := range []string{"777", "778"} {
			t.Run(name+", "+page, func(t *testing.T) {
				e := both(t, authpipetest.Options{})
				e.fb.AddUser(authpipetest.User{ID: "uma", Name: "Uma User", Pages: []string{"777", "778"}})
				e.connect(uma, "uma", authpipetest.Consent{User: "uma"}, "scopes", "pages_show_list")
				reached, release := e.hold("put", "cred/"+uma+"/pages/"+page)
				var fetching sync.WaitGroup
				fetching.Go(func() { e.do(logical.ReadOperation, "creds/"+uma+"/pages/777", nil) })
				<-reached
				part(e)
				release()
				fetching.Wait()
				for range 3 {
					e.after(10 * time.Minute)
				}
				if keys, err := e.storage.Keys(t.Context(), "cred/"+uma); err != nil || len(keys) != 0 {
					t.Errorf("left is %v, %v", keys, err)
				}
			})
		}
	}
}

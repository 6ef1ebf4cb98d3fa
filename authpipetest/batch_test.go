package authpipetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// batched is an entry of a batch's answer.
type batched struct {
	Code    int
	Headers []struct{ Name, Value string }
	Body    string
}

// batch posts calls in one batch; parameters may be added.
func (w world) batch(calls []map[string]any, pairs ...string) reply {
	w.t.Helper()
	q := params(pairs...)
	q.Set("batch", string(must(json.Marshal(calls))))
	return w.send(http.MethodPost, "/v26.0/", nil, "application/x-www-form-urlencoded", q.Encode())
}

func (r reply) batched() []*batched {
	r.t.Helper()
	var entries []*batched
	if err := json.Unmarshal([]byte(r.body), &entries); err != nil || r.status != http.StatusOK {
		r.t.Fatalf("status %d: %s", r.status, r.body)
	}
	return entries
}

func get(relative string) map[string]any {
	return map[string]any{"method": "GET", "relative_url": relative}
}

func TestBatchServesEachCallInOrder(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	ada, uma := w.token("email"), w.tokenAs(authpipetest.Consent{User: "uma"}, "email")
	w.ExpireToken(uma)
	entries := w.batch([]map[string]any{
		get("me?fields=name"),
		get("v25.0/debug_token?input_token=" + uma + "&access_token=" + url.QueryEscape(appToken)),
		get("/me?access_token=" + uma),
		{"method": "DELETE", "relative_url": "me/permissions/email"},
		get("me?fields=email"),
		get("%zz"),
	}, "access_token", ada).batched()
	var got []string
	for _, e := range entries {
		body := e.Body
		if e.Code != http.StatusOK {
			body = body[:40]
		}
		got = append(got, fmt.Sprint(e.Code, " ", body))
	}
	id := w.ScopedID(appID, "ada")
	want := []string{
		`200 {"name":"Ada Admin","id":"` + id + `"}`,
		got[1], // below
		`400 {"error":{"message":"Error validating ac`,
		`200 {"success":true}`,
		`200 {"id":"` + id + `"}`, // the permission is revoked by now: calls take effect in order
		`400 {"error":{"message":"Invalid relative_ur`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if !strings.Contains(got[1], `"is_valid":false`) || header(entries[1], "Facebook-Api-Version") != "v25.0" {
		t.Errorf("debug_token within the batch: %s, version %s", got[1], header(entries[1], "Facebook-Api-Version"))
	}
	if version := header(entries[0], "Facebook-Api-Version"); version != "v26.0" {
		t.Errorf("an entry without a version was served by %s", version)
	}
}

func header(b *batched, name string) string {
	for _, h := range b.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

func TestBatchAcceptsItsEncodings(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	want := []*batched{{Code: 200, Body: w.ada()}}
	for name, r := range map[string]reply{
		"in the query, to /me as in the sample": w.send(http.MethodPost, "/me", params("batch", `[{"method":"GET","relative_url":"me"}]`,
			"access_token", token, "include_headers", "false"), "", ""),
		"as JSON": w.send(http.MethodPost, "/", nil, "application/json",
			`{"batch":[{"relative_url":"me"}],"access_token":"`+token+`","include_headers":false}`),
	} {
		if diff := cmp.Diff(want, r.batched()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	r := must(http.NewRequest(http.MethodPost, w.base+"/?include_headers=false", strings.NewReader("batch="+url.QueryEscape(`[{"relative_url":"me"}]`))))
	r.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if diff := cmp.Diff(want, w.round(r).batched()); diff != "" {
		t.Errorf("with a bearer token (-want +got):\n%s", diff)
	}
}

func TestBatchRefusals(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	many := make([]map[string]any, 51)
	for i := range many {
		many[i] = get("me")
	}
	w.batch(many, "access_token", "EAA").is(http.StatusBadRequest, `{"error":{"message":
		"Too many requests in batch message. Maximum batch size is 50","type":"GraphBatchException","fbtrace_id":"A"}}`)
	if got := len(w.batch(many[:50], "access_token", "EAA").batched()); got != 50 {
		t.Errorf("%d answers to 50 calls", got)
	}
	w.batch(many[:1]).refused(http.StatusBadRequest, 104, "An access token is required to request this resource.")
	w.send(http.MethodPost, "/", params("batch", "me"), "", "").refused(http.StatusBadRequest, 100, "(#100) param batch must be an array.")
	w.send(http.MethodPost, "/v99.0/", params("batch", "[]", "access_token", "EAA"), "", "").
		refused(http.StatusBadRequest, 2500, "Unknown path components: /")
	pages := w.batch([]map[string]any{get(""), get("dialog/oauth?client_id=123"), get("device")}, "access_token", "EAA").batched()
	for i, e := range pages {
		if e.Code != http.StatusBadRequest || !strings.HasPrefix(e.Body, `{"error":`) {
			t.Errorf("page %d of www.facebook.com in a batch: %+v", i, e)
		}
	}
	nested := w.batch([]map[string]any{{"method": "POST", "relative_url": "?batch=" + url.QueryEscape(`[{"relative_url":"me"}]`)}}, "access_token", "EAA")
	if e := nested.batched()[0]; e.Code != http.StatusBadRequest {
		t.Errorf("a batch in a batch: %+v", e)
	}
	lenient := newWorld(t, authpipetest.Options{BatchWithoutToken: true})
	token := lenient.token("email")
	if e := lenient.batch([]map[string]any{get("me?access_token=" + token)}).batched()[0]; e.Code != http.StatusOK {
		t.Errorf("a batch whose entry has a token: %+v", e)
	}
}

func TestBatchProofs(t *testing.T) {
	for _, perCall := range []bool{false, true} {
		w := newWorld(t, authpipetest.Options{BatchProofPerCall: perCall})
		ada, uma := w.token("email"), w.tokenAs(authpipetest.Consent{User: "uma"}, "email")
		w.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true})
		entries := w.batch([]map[string]any{
			get("me"),
			get("me?appsecret_proof=" + proof(appSecret, ada)),
			get("me?access_token=" + uma),
			get("me?access_token=" + uma + "&appsecret_proof=" + proof(appSecret, uma)),
		}, "access_token", ada, "appsecret_proof", proof(appSecret, ada)).batched()
		for i, want := range []bool{!perCall, true, false, true} {
			if got := entries[i].Code == http.StatusOK; got != want {
				t.Errorf("a proof for each call %v: entry %d: %+v", perCall, i, entries[i])
			}
		}
	}
}

func TestFaultAppliesToBatchEntries(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	before := w.Count("")
	w.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Times: 1, Reset: true})
	entries := w.batch([]map[string]any{get("me"), get("me")}, "access_token", token).batched()
	if entries[0] != nil || entries[1] == nil || entries[1].Code != http.StatusOK {
		t.Errorf("a broken call and another: %+v", entries)
	}
	if wire, calls, batches := w.Count("")-before, w.Count(authpipetest.EndpointMe), w.Count(authpipetest.EndpointBatch); wire != 1 || calls != 2 || batches != 1 {
		t.Errorf("counted %d requests, %d calls, %d batches", wire, calls, batches)
	}
	if last := w.Requests()[len(w.Requests())-1]; !last.Batched || last.Query.Get("access_token") != token {
		t.Errorf("the log has %+v", last)
	}
}

func FuzzBatch(f *testing.F) {
	f.Add(`[{"method":"GET","relative_url":"me"}]`)
	f.Add(`[{"method":"\u0000","relative_url":"//x/%2f?%zz","headers":["a","b:\n"],"body":"%"},null,{}]`)
	f.Add(`[{"relative_url":"http://evil@example.com:99/me"},{"relative_url":"../../dialog/oauth?client_id=123"}]`)
	f.Fuzz(func(t *testing.T, batch string) {
		fb := authpipetest.NewFacebook(authpipetest.Options{})
		fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret})
		form := params("batch", batch, "access_token", appToken)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		page := httptest.NewRecorder()
		fb.ServeHTTP(page, r)
		var sent, answered []json.RawMessage
		if json.Unmarshal([]byte(batch), &sent) == nil && page.Code == http.StatusOK && batch != "" {
			if err := json.Unmarshal(page.Body.Bytes(), &answered); err != nil || len(answered) != len(sent) {
				t.Errorf("%d answers to %d calls: %v", len(answered), len(sent), err)
			}
		}
	})
}

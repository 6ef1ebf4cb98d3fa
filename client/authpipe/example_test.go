package authpipe_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

// In these examples env is a real Vault with the engine, and a simulated Facebook; env.vault is Vault's own client.

func ExampleClient_Credential() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()
	env.connect(client, "org_acme", "", alice) // an admin has installed the app

	// The user's credential if she has authorized, and otherwise the organization's.
	credential, err := client.Credential(ctx, authpipe.Request{Tenant: "org_acme", User: "user_123", For: authpipe.ForAny})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("from", credential.Source)
	fmt.Println("token", credential.AccessToken)
	fmt.Println("in the clear it begins with", credential.AccessToken.Reveal()[:3])
	// Output:
	// from installation
	// token [redacted]
	// in the clear it begins with EAA
}

func ExampleRequest() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()
	env.connect(client, "org_kinds", "", alice)
	key := map[string]any{"credential": "sk_live_1", "credential_type": "api_key"}
	if _, err := env.vault.Logical().Write("authpipe/creds/org_kinds/stripe/static/billing", key); err != nil {
		fmt.Println(err)
		return
	}

	for _, q := range []authpipe.Request{
		{Tenant: "org_kinds", For: authpipe.ForInstallation},                                 // the installation
		{Tenant: "org_kinds", Page: pageOfAlice, For: authpipe.ForInstallation},              // a page, through the installation
		{Tenant: "org_kinds", Provider: "stripe", Static: "billing"},                         // an API key
		{Tenant: "org_kinds", User: "user_9", For: authpipe.ForUser},                         // a person
		{Tenant: "../creds/org_acme/facebook/users", User: "user_99", For: authpipe.ForUser}, // a name with a path
	} {
		credential, err := client.Credential(ctx, q)
		var missing *authpipe.NotConnectedError
		switch {
		case errors.As(err, &missing):
			fmt.Println("not connected yet:", missing.Path)
		case errors.Is(err, authpipe.ErrInvalidRequest):
			fmt.Println("refused")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println(credential.Type, credential.Ref)
		}
	}
	// Output:
	// oauth_token org_kinds/facebook/installation
	// oauth_token org_kinds/facebook/pages/900000000000001
	// api_key org_kinds/stripe/static/billing
	// not connected yet: connect/org_kinds/facebook/users/user_9
	// refused
}

func ExampleClient_Connect() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()

	began, err := client.Connect(ctx, authpipe.ConnectRequest{
		Tenant: "org_connect", For: authpipe.ForInstallation, Actor: "alice", // the person signed in to the application now
		ReturnURL: "https://app.example.com/facebook/return",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Send the browser there. It comes back to the return URL with a session_id and a connect_code.
	came := env.come(alice, began.AuthorizationURL)
	session, err := client.Session(ctx, "org_connect", began.Session)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.Status)

	connection, err := client.Complete(ctx, authpipe.Completion{
		Tenant: "org_connect", Session: came.Get("session_id"), ConnectCode: authpipe.NewSecret(came.Get("connect_code")),
		Actor: "alice", // the person signed in now, again
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(connection.Ref, connection.Status)
	// Output:
	// authorized
	// org_connect/facebook/installation active
}

func ExampleConnectHandler() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()

	mux := http.NewServeMux()
	mux.Handle("/facebook/", &authpipe.ConnectHandler{
		Client:    client,
		SignedIn:  signedIn, // func(*http.Request) (authpipe.Person, error), from the application's own session; alice has MayInstall
		ReturnURL: "https://app.example.com/facebook/return",
		Done: func(w http.ResponseWriter, r *http.Request, c authpipe.Connection) {
			http.Redirect(w, r, "/connected?"+c.Ref, http.StatusSeeOther)
		},
	})
	mux.HandleFunc("/connected", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "Welcome,", r.URL.RawQuery) })

	// Two people press the button in their browsers.
	for _, person := range []struct{ facebook, application string }{{bobby, "org_web/bob"}, {alice, "org_web/alice"}} {
		arrived, err := env.browserOf(person.facebook, person.application, mux).post("https://app.example.com/facebook/install")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(arrived.status, arrived.text)
	}
	// Output:
	// 403 Forbidden
	// 200 Welcome, org_web/facebook/installation
}

func ExampleTransport() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()
	env.connect(client, "org_graph", "", alice)

	graph := &http.Client{Transport: &authpipe.Transport{
		Client:  client,
		Request: authpipe.Request{Tenant: "org_graph", For: authpipe.ForInstallation},
		Origins: []string{env.graph}, // the simulator; leave it out for Facebook
	}}
	resp, err := graph.Get(env.graph + "/v27.0/me?fields=name")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, strings.Contains(string(body), `"name":"Alice Admin"`))

	// A post with the page's own token.
	asPage := authpipe.WithRequest(ctx, authpipe.Request{Tenant: "org_graph", Page: pageOfAlice, For: authpipe.ForInstallation})
	post, err := http.NewRequestWithContext(asPage, http.MethodPost, env.graph+"/v27.0/"+pageOfAlice+"/feed", strings.NewReader("message=Hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if resp, err = graph.Do(post); err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode, env.facebook.Posts(pageOfAlice)[0].Message)
	// Output:
	// 200 true
	// 200 Hello
}

func ExampleClient_TokenSource() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()
	env.connect(client, "org_oauth2", "", alice)

	source := client.TokenSource(ctx, authpipe.Request{Tenant: "org_oauth2", For: authpipe.ForInstallation})
	token, err := source.Token()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Type(), token.Valid())
	_ = &http.Client{Transport: &oauth2.Transport{Source: source}} // reads from memory for each request
	// Output: Bearer true
}

func ExampleClient_ReportDead() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()
	env.facebook.AddUser(authpipetest.User{ID: "1000000004", Name: "Dora"})
	env.connect(client, "org_dead", "", "1000000004")
	credential, err := client.Credential(ctx, authpipe.Request{Tenant: "org_dead", For: authpipe.ForInstallation})
	if err != nil {
		fmt.Println(err)
		return
	}

	env.facebook.RemoveApp(appID, "1000000004") // and Facebook answers a call with error 190

	_, err = client.ReportDead(ctx, credential)
	var needs *authpipe.NeedsReauthError
	if errors.As(err, &needs) {
		fmt.Println(needs.Err.Code, "- connect it again with", needs.Path)
	}
	// Output: revoked - connect it again with connect/org_dead/facebook/installation
}

func ExampleWebhookHandler() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{}) // its token needs authpipe/webhooks/facebook/notify only
	defer client.Close()

	hook := httptest.NewServer(&authpipe.WebhookHandler{Client: client, VerifyToken: authpipe.NewSecret("from the dashboard")})
	defer hook.Close()
	err := env.facebook.Subscribe(ctx, appID, authpipetest.Subscription{Object: "application", CallbackURL: hook.URL, VerifyToken: "from the dashboard"})
	fmt.Println("the handshake:", err)

	env.facebook.Notify(appID, "application", map[string]any{"id": appID, "changes": []any{}})
	for _, delivery := range env.facebook.Deliver(ctx) {
		if delivery.Object == "application" { // not the deliveries of other examples
			fmt.Println("a delivery of Facebook's:", delivery.Status)
		}
	}
	forged, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, strings.NewReader(`{"object":"application"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	forged.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64))
	resp, err := http.DefaultClient.Do(forged)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println("a stranger's:", resp.StatusCode)
	// Output:
	// the handshake: <nil>
	// a delivery of Facebook's: 200
	// a stranger's: 400
}

func ExampleClient_Events() {
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()
	env.connect(client, "org_events", "", alice)
	env.connect(client, "org_events", "bob", bobby)

	// From the beginning. An application stores the ID of the last event that it has handled, and continues after it.
	for event, err := range client.Events(ctx, 0) {
		if err != nil {
			fmt.Println(err) // and it tries again
			continue
		}
		client.Forget(event.Ref) // so that changes made elsewhere take effect here at once
		if tenant, _, _ := strings.Cut(event.Ref, "/"); tenant == "org_events" {
			fmt.Println(event.Type, event.Ref)
		}
		if event.Ref == "org_events/facebook/users/bob" {
			break
		}
	}
	// Output:
	// connection.created org_events/facebook/installation
	// connection.created org_events/facebook/users/bob
}

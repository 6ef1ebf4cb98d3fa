// Package authpipe is the Go client of authpipe, a secrets engine for HashiCorp Vault that keeps the OAuth credentials of an
// application's users. It serves working credentials from memory: an application reads one each time it needs it.
//
//	vault, err := api.NewClient(api.DefaultConfig()) // Vault's own client; authenticate it, and keep its token valid
//	client := authpipe.New(vault, authpipe.Options{})
//	defer client.Close()
//
//	credential, err := client.Credential(ctx, authpipe.Request{Tenant: "org_acme", User: "user_123", For: authpipe.ForUser})
//	req.Header.Set("Authorization", "Bearer "+credential.AccessToken.Reveal())
//
// # Whose credential
//
// A [Request] names a tenant and the kind of credential: the tenant's installation ([ForInstallation]), one person's ([ForUser]), or
// that person's if they ever connected and otherwise the installation's ([ForAny]). An empty User with ForUser is an error, so that
// a missing id does not select the installation. Page is for a page's own token, Static for an API key or webhook secret.
//
// # What Credential promises
//
// The first read of a credential waits for Vault, a millisecond or so. Concurrent first reads share one request. Later reads come
// from memory: they take no lock, allocate nothing, and take less than 100 nanoseconds. A credential in use is renewed in the
// background, well before it expires. One that is no longer read is not renewed, and the bounded cache drops it in the end.
//
// An expired token is never returned. Its lifetime is taken from the engine's response, and measured with a monotonic clock that
// counts the machine's sleep: neither a wrong wall clock nor an outage of Vault prolongs it. While Vault is out of reach or no longer
// accepts the client's token, or while the provider throttles, the cached token is served until it expires, for a day at most
// ([Options].MaxStale). If the engine responds that a credential is dead, gone or suspended, or Vault that a policy forbids reading
// it or that there is no such mount, the credential is out of service at once. Such a refusal is cached for half a minute, and
// during an outage for a day at most.
//
// A cached response is at most five minutes old while it is being read, and ten if it is read rarely, unless renewing it fails
// ([Options].MaxAge). So that is how long it takes, at most, until a connection made elsewhere or an operator's suspension takes
// effect. [Client.Events] and [Client.Forget] shorten it.
//
// # Errors
//
// The errors have types for the engine's codes. [*NeedsReauthError] and [*NotConnectedError] have the path that connects the
// credential; every refusal is an [*Error], whose [Code] errors.Is compares:
//
//	var needs *authpipe.NeedsReauthError
//	switch {
//	case errors.As(err, &needs):
//		// the person has to connect again: needs.Path
//	case errors.Is(err, authpipe.ErrThrottled):
//		// the provider's limit: later
//	}
//
// If the provider itself refuses a token, call [Client.ReportDead]: the engine checks the token at once, and the client returns the
// credential to go on with. [Transport] does all that by itself.
//
// # Calling the Graph API
//
// A [Transport] adds the token and its appsecret_proof to requests to graph.facebook.com, and to no others. For libraries that take
// an oauth2.TokenSource there is [Client.TokenSource].
//
// # Connecting people
//
// Mount a [ConnectHandler] in your application:
//
//	mux.Handle("/facebook/", &authpipe.ConnectHandler{
//		Client:    client,
//		SignedIn:  signedIn, // returns the person signed in at this request, from your own session
//		ReturnURL: "https://app.example.com/facebook/return",
//	})
//
// A form that posts to /facebook/install (for a [Person] with MayInstall) or /facebook/authorize begins a session; the browser comes
// back to /facebook/return, and the person is connected. The handler stores nothing and calls SignedIn both times, so that one person
// cannot begin a connection and have another finish it. For other flows (a device, a single-page application) use [Client.Connect],
// [Client.Complete] and [Client.Session].
//
// # Webhooks and events
//
// A [WebhookHandler] receives Facebook's webhooks and relays them to the engine, which verifies them. [Client.Events] returns the
// events of connections since a given one, and goes on with new ones.
//
// # Secrets
//
// A [Secret] prints as "[redacted]" everywhere. Errors and log lines name refs and codes, and never hold a secret, even if a peer
// breaks HTTP's framing: they do not quote the peer. (net/http itself logs bytes that come after the end of a response, through the
// standard library's default logger.)
package authpipe

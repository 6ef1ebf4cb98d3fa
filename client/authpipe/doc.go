// Package authpipe is the Go client of authpipe, the secrets engine for HashiCorp Vault that keeps other people's OAuth
// credentials. It answers with credentials that work, from memory: an application asks each time it needs one, as if it cost
// nothing, for it does not.
//
//	vault, err := api.NewClient(api.DefaultConfig()) // Vault's own client; authenticate it, and keep it so
//	client := authpipe.New(vault, authpipe.Options{})
//	defer client.Close()
//
//	credential, err := client.Credential(ctx, authpipe.Request{Tenant: "org_acme", User: "user_123", For: authpipe.ForUser})
//	req.Header.Set("Authorization", "Bearer "+credential.AccessToken.Reveal())
//
// # Whose credential
//
// A [Request] names a tenant and says whose credential is wanted: the tenant's installation ([ForInstallation]), one person's
// ([ForUser]), or that person's if they ever connected and the installation's if not ([ForAny]). An empty User with ForUser is an
// error, so that a missing id does not select the installation. Page is a page's own token, Static an API key or webhook secret.
//
// # What Credential promises
//
// Who asks first waits for Vault, a millisecond or so, and all who ask for the same credential at that moment wait together. From
// then on it is in memory: a read takes no lock, allocates nothing, and is over in less than 100 nanoseconds. What is read is
// renewed behind its readers, well before it ends; what nobody reads any more costs nothing until somebody does, and a bounded
// cache forgets it in the end.
//
// A token that has ended is never returned. Its life is reckoned from the engine's answer by a monotonic clock and the machine's
// sleep, so neither a wrong clock nor a stopped Vault makes an old token pass for a live one. While Vault cannot be reached, does
// not know the client's token any more, or the provider throttles, what lives is served on, for a day at most ([Options].MaxStale).
// The engine's word that a credential is dead, gone or suspended, and Vault's that a policy forbids reading it or that the mount is
// gone, take it out of service at once. Such a refusal is remembered for half a minute, and for as long as Vault cannot be asked
// again, for a day at most.
//
// An answer is at most five minutes old while it is being read, and ten where it is read so seldom that it fell asleep, but for
// trouble in asking: [Options].MaxAge. So that is how long it takes, at the most, until another process's reconnecting or an
// operator's suspending is seen here; following [Client.Events], or calling [Client.Forget], shortens it.
//
// # When it does not work
//
// The errors are typed by the engine's codes. [*NeedsReauthError] and [*NotConnectedError] carry the path that mends them; every
// refusal is an [*Error], whose [Code] errors.Is compares:
//
//	var needs *authpipe.NeedsReauthError
//	switch {
//	case errors.As(err, &needs):
//		// only the person can help: send them through needs.Path
//	case errors.Is(err, authpipe.ErrThrottled):
//		// the provider's limit: later
//	}
//
// Where the provider itself refuses a token, say so with [Client.ReportDead]: the engine looks into it at once, and the answer is
// the credential to go on with. [Transport] does all that by itself.
//
// # Calling the Graph API
//
// A [Transport] adds the token and its appsecret_proof to requests of graph.facebook.com, and to no other's. For libraries that
// want an oauth2.TokenSource there is [Client.TokenSource].
//
// # Connecting people
//
// Mount a [ConnectHandler] where your application is signed in to:
//
//	mux.Handle("/facebook/", &authpipe.ConnectHandler{
//		Client:    client,
//		SignedIn:  whoIsSignedIn, // from your own session, at this very request
//		ReturnURL: "https://app.example.com/facebook/return",
//	})
//
// A form that posts to /facebook/install (for a [Person] with MayInstall) or /facebook/authorize begins; the browser comes back to
// /facebook/return, and the person is connected. The handler stores nothing and calls SignedIn both times: so nobody can begin a
// connection and have somebody else finish it. Other flows (a device, a single-page application) are made of [Client.Connect],
// [Client.Complete] and [Client.Session].
//
// # Hearing of it
//
// A [WebhookHandler] receives Facebook's webhooks and relays them to the engine, which verifies them. [Client.Events] is what has
// happened to connections since, and goes on.
//
// # Secrets
//
// A [Secret] prints as "[redacted]", wherever it is printed. Errors, and what is logged in the background, name refs and codes and
// never hold a secret, even if a peer breaks HTTP's framing: what the peer sent is not quoted. (net/http itself logs bytes that come
// after the end of an answer, through the standard library's default logger.)
package authpipe

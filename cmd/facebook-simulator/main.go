// Command facebook-simulator serves a simulated Facebook on a loopback port: the login dialog and the Graph API, for trying
// an integration by hand or from a script. The first line on standard output is its base URL; instructions follow.
//
//	facebook-simulator -redirect-uri http://127.0.0.1:8200/v1/authpipe/callback/facebook
//	facebook simulator: http://127.0.0.1:40123
//
// It has one app and three people: Ada Admin with two Pages and a business, Pia Portfolio with a Page of her own and two that
// she holds through a business portfolio, and Uma User with none. The dialog asks the person at the browser, unless
// -auto-approve is given or the dialog's URL has parameters for scripts: see the package authpipetest.
//
// The page /_control shows what has happened and has buttons for failures: remove the app, expire a token, change a password,
// throttle, start and end an outage. It changes a person's roles on Pages and their tasks, moves Pages between portfolios,
// renames Pages, people and businesses, and has the list of Pages come empty, refuse a large limit, or never end. Open it beside the integration to see how that reacts. It answers to this machine only.
//
// With -deauthorize-url, -data-deletion-url and -webhook-url the app is notified of changes to its grants, within two seconds
// and until it answers as it should.
//
// With -tls-cert and -tls-key it serves https. -tls-self-signed FILE makes a certificate for localhost, 127.0.0.1,
// www.facebook.com and graph.facebook.com, and writes it to FILE, for clients to trust. Behind a proxy that terminates TLS, the
// header X-Forwarded-Proto makes the simulator's links begin with https.
//
// It ends on SIGINT and SIGTERM, and stores nothing.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// config has the values of the flags.
type config struct {
	listen      string
	app         authpipetest.App
	options     authpipetest.Options
	tls         tlsFiles
	webhook     string
	verifyToken string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "facebook-simulator:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	serveTLS, err := c.tls.config()
	if err != nil {
		return err
	}
	listener, err := listen(ctx, c.listen)
	if err != nil {
		return err
	}
	base := "http://" + listener.Addr().String()
	if serveTLS != nil {
		base = "https://" + listener.Addr().String()
		listener = tls.NewListener(listener, serveTLS)
	}
	fb := seeded(c)
	go (&notifier{fb: fb, app: c.app.ID, webhook: c.webhook, verifyToken: c.verifyToken, stderr: stderr}).run(ctx)
	server := &http.Server{
		Handler:           withControl(fb),
		ReadHeaderTimeout: 10 * time.Second,
	}
	// Close and not Shutdown: no request is worth waiting for
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Fprintf(stdout, usage, base, c.app.ID, c.app.Secret, firstOr(c.app.RedirectURIs, "(none: pass -redirect-uri)"), c.app.ClientToken)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// withControl adds the control page, under a path that Facebook does not have.
func withControl(fb *authpipetest.Facebook) http.Handler {
	control := fb.Control()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a ServeMux would clean Facebook's paths
		if r.URL.Path == "/_control" {
			control.ServeHTTP(w, r)
			return
		}
		fb.ServeHTTP(w, r)
	})
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("facebook-simulator", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.listen, "listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 is a free one")
	flags.StringVar(&c.app.ID, "app-id", "1234567890123456", "the app's client `id`")
	flags.StringVar(&c.app.Secret, "app-secret", "facebook-simulator-secret", "the app's client `secret`")
	flags.Func("redirect-uri", "a valid OAuth redirect `URI` of the app, to the letter; may be repeated", func(uri string) error {
		c.app.RedirectURIs = append(c.app.RedirectURIs, uri)
		return nil
	})
	flags.StringVar(&c.app.ClientToken, "client-token", "facebook-simulator-client", "the app's client `token`, for device login")
	flags.StringVar(&c.app.DeauthorizeURL, "deauthorize-url", "", "`URL` that gets a request when a person removes the app")
	flags.StringVar(&c.app.DataDeletionURL, "data-deletion-url", "", "`URL` that gets a request when a person wants their data deleted")
	flags.StringVar(&c.tls.cert, "tls-cert", "", "serve https with the certificate in this PEM `file`")
	flags.StringVar(&c.tls.key, "tls-key", "", "PEM `file` with the key of -tls-cert")
	flags.StringVar(&c.tls.selfSigned, "tls-self-signed", "", "serve https with a certificate made at the start, and write it to this PEM `file`")
	flags.StringVar(&c.options.Issuer, "issuer", "", "issuer of ID tokens, a `URL`; the default is Facebook's")
	flags.BoolVar(&c.options.AcceptBasicAuth, "accept-basic-auth", false, "take the client's id and secret from HTTP Basic authentication, too")
	pkceAlways := flags.Bool("pkce-always", false, "bind the code_challenge of every login, not only of those with openid")
	flags.BoolVar(&c.options.OldApps, "old-app", false, "let the app use what Meta has refused to new apps since 2026-11-04")
	flags.StringVar(&c.webhook, "webhook-url", "", "`URL` of the app's webhook for permissions and business integrations")
	flags.StringVar(&c.verifyToken, "webhook-verify-token", "", "the `token` that is sent when the webhook is verified")
	flags.BoolVar(&c.app.RequireAppSecret, "require-app-secret", false, "refuse calls without an appsecret_proof")
	flags.BoolVar(&c.options.AutoApprove, "auto-approve", false, "let the dialog consent at once, without a page")
	flags.StringVar(&c.options.AutoApproveUser, "auto-approve-user", "ada", "who consents: ada, pia or uma, by `id`")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if *pkceAlways {
		c.options.PKCE = authpipetest.PKCEAlways
	}
	if flags.NArg() > 0 {
		return config{}, fmt.Errorf("parsing arguments: unexpected %q", flags.Arg(0))
	}
	return c, nil
}

// listen refuses any address that other machines can reach: the simulator gives tokens to any client.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("parsing -listen: %w", err)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listening on %s: only a loopback address is allowed", address)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

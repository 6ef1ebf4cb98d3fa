// Command facebook-simulator serves a simulated Facebook on a loopback port: the login dialog and the Graph API, for trying
// an integration by hand or from a script. The first line on standard output is its base URL; how to use it follows.
//
//	facebook-simulator -redirect-uri http://127.0.0.1:8200/v1/authpipe/callback/facebook
//	facebook simulator: http://127.0.0.1:40123
//
// There is one app, and two people: Ada Admin, who has two Pages, and Uma User, who has none. Its dialog asks the person in
// front of the browser, unless -auto-approve is given or the dialog's URL says what to do: see the package authpipetest.
// It ends on SIGINT and SIGTERM, and forgets everything.
package main

import (
	"context"
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

// config is what the flags say.
type config struct {
	listen  string
	app     authpipetest.App
	options authpipetest.Options
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
	listener, err := listen(ctx, c.listen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           seeded(c),
		ReadHeaderTimeout: 10 * time.Second,
	}
	// Close and not Shutdown: nothing here is worth waiting for
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Fprintf(stdout, usage, "http://"+listener.Addr().String(), c.app.ID, c.app.Secret, firstOr(c.app.RedirectURIs, "(none: pass -redirect-uri)"))
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
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
	flags.BoolVar(&c.app.RequireAppSecret, "require-app-secret", false, "refuse calls without an appsecret_proof")
	flags.BoolVar(&c.options.AutoApprove, "auto-approve", false, "let the dialog consent at once, without a page")
	flags.StringVar(&c.options.AutoApproveUser, "auto-approve-user", "ada", "who consents: ada or uma, by `id`")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if flags.NArg() > 0 {
		return config{}, fmt.Errorf("parsing arguments: unexpected %q", flags.Arg(0))
	}
	return c, nil
}

// listen refuses any address that others can reach: the simulator hands out tokens to whoever asks.
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

package judges

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const (
	appID     = "1234567890123456"
	appSecret = "facebook-simulator-secret"
	callback  = "https://app.example/callback"
	pageID    = "100000000000777"
	scope     = "email,user_birthday,user_link,user_location,pages_show_list,pages_read_engagement,pages_manage_posts"
)

// simulator is a Facebook with one app and one person, Ada, with two pages.
type simulator struct {
	*authpipetest.Facebook
	t *testing.T
	// client reaches the simulator under the names www.facebook.com and graph.facebook.com, which the libraries have built in.
	client *http.Client
}

func newSimulator(t *testing.T, o authpipetest.Options) simulator {
	t.Helper()
	fb := authpipetest.NewFacebook(o)
	fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RedirectURIs: []string{callback}})
	fb.AddPage(authpipetest.Page{ID: pageID, Name: "Ada's Bakery"})
	fb.AddPage(authpipetest.Page{ID: "100000000000888", Name: "Ada's Bookshop"})
	fb.AddUser(authpipetest.User{
		ID: "ada", Name: "Ada Admin", Email: "ada@example.com", Pages: []string{pageID, "100000000000888"},
		Profile: map[string]any{"location": map[string]string{"id": "1", "name": "Zurich"}},
	})
	server := httptest.NewTLSServer(fb)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, // the name in httptest's certificate
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			switch host, _, _ := net.SplitHostPort(address); host {
			case "www.facebook.com", "graph.facebook.com", "facebook.com":
				return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
			}
			return nil, &net.AddrError{Err: "not a host of Facebook's", Addr: address}
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return simulator{fb, t, &http.Client{Transport: transport}}
}

// login opens the dialog as Ada, compares the state and returns what the callback receives.
func (f simulator) login(authURL, state string) url.Values {
	f.t.Helper()
	back, err := f.Authorize(authURL, authpipetest.Consent{User: "ada"})
	if err != nil {
		f.t.Fatal(err)
	}
	if got := back.Query().Get("state"); got != state {
		f.t.Fatalf("state %q, want %q", got, state)
	}
	return back.Query()
}

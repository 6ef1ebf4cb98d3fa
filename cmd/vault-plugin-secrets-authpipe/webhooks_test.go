package main_test

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func leave(ts *testscript.TestScript, args []string) (output, error) {
	var relay, remove bool
	flags := flag.NewFlagSet("leave", flag.ContinueOnError)
	flags.BoolVar(&remove, "delete", false, "")
	flags.BoolVar(&relay, "relay", false, "")
	ts.Check(flags.Parse(args))
	w := environmentOf(ts)
	if relay {
		defer w.listen(ts)()
	} else {
		w.register(w.server.addr + "/v1/authpipe/webhooks/facebook/")
	}
	if remove {
		w.facebook.RequestDeletion(appID, flags.Arg(0))
	} else {
		w.facebook.RemoveApp(appID, flags.Arg(0))
	}
	var out output
	var err error
	for _, d := range w.facebook.Deliver(context.Background()) {
		out.stdout += fmt.Sprintf("%s: HTTP %d %s\n", d.Kind, d.Status, d.Answer)
		if d.Kind == authpipetest.EventWebhook {
			out.stdout += fmt.Sprintf("payload=%s\nsignature=%s\n", base64.StdEncoding.EncodeToString(d.Body), d.Header.Get("X-Hub-Signature-256"))
		} else {
			out.stdout += fmt.Sprintf("form: %s\n", d.Body)
		}
		if d.Err != nil {
			err = d.Err
		}
	}
	return out, err
}

// register registers the webhooks below base at Facebook, as the README says.
func (w *environment) register(base string) {
	app := w.app
	app.DeauthorizeURL, app.DataDeletionURL = base+"deauthorize", base+"data-deletion"
	w.facebook.AddApp(app)
}

// listen subscribes a minimal webhook.
func (w *environment) listen(ts *testscript.TestScript) (end func()) {
	w.facebook.AddApp(w.app)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
	}))
	ts.Check(w.facebook.Subscribe(context.Background(), appID, authpipetest.Subscription{Object: "permissions", CallbackURL: hook.URL, VerifyToken: "vt"}))
	return hook.Close
}

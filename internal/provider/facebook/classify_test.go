package facebook_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// TestErrorsAreClassified has every endpoint that is called answer an error
// object, and holds the class against what Meta's tables and reports say.
func TestErrorsAreClassified(t *testing.T) {
	type call = func(world, context.Context, oauth.Token) error
	exchange := func(w world, ctx context.Context, _ oauth.Token) error {
		_, err := w.Exchange(ctx, w.client, provider.Grant{Code: oauth.NewSecret("AQ"), RedirectURI: redirectURI})
		return err
	}
	refresh := func(w world, ctx context.Context, t oauth.Token) error {
		_, err := w.Refresh(ctx, w.client, t)
		return err
	}
	inspect := func(w world, ctx context.Context, t oauth.Token) error {
		_, err := w.Inspect(ctx, w.client, t)
		return err
	}
	revoke := func(w world, ctx context.Context, t oauth.Token) error { return w.Revoke(ctx, w.client, t) }
	transient := true
	graph := func(code, subcode int, message string) *authpipetest.GraphError {
		return &authpipetest.GraphError{Code: code, Subcode: subcode, Message: message}
	}
	// dead is what debug_token says of a token that is not valid.
	dead := func(why string) authpipetest.Fault {
		return authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":false,"error":{` + why + `}}}`}
	}
	for name, row := range map[string]struct {
		call  call
		fault authpipetest.Fault
		want  provider.Class
	}{
		"a wrong client secret is configuration, though its code means unknown": {exchange, authpipetest.Fault{Error: graph(1, 0, "Error validating client secret.")}, provider.Misconfigured},
		"a bad app id":                               {exchange, authpipetest.Fault{Error: graph(101, 0, "Error validating application. Invalid application ID.")}, provider.Misconfigured},
		"a redirect mismatch":                        {exchange, authpipetest.Fault{Error: graph(100, 36008, "Error validating verification code.")}, provider.Misconfigured},
		"a domain that is not the app's":             {exchange, authpipetest.Fault{Error: graph(191, 0, "")}, provider.Misconfigured},
		"a code that was used":                       {exchange, authpipetest.Fault{Error: graph(100, 36009, "")}, provider.Caller},
		"a code that expired":                        {exchange, authpipetest.Fault{Error: graph(100, 36007, "")}, provider.Caller},
		"no code at all":                             {exchange, authpipetest.Fault{Error: graph(100, 0, "Invalid verification code format.")}, provider.Caller},
		"a wrong secret at a refresh":                {refresh, authpipetest.Fault{Error: graph(1, 0, "Error validating client secret.")}, provider.Misconfigured},
		"expired":                                    {refresh, authpipetest.Fault{Error: graph(190, 463, "")}, provider.NeedsReauth},
		"password changed":                           {refresh, authpipetest.Fault{Error: graph(190, 460, "")}, provider.NeedsReauth},
		"checkpoint":                                 {refresh, authpipetest.Fault{Error: graph(190, 459, "")}, provider.NeedsReauth},
		"logged out":                                 {refresh, authpipetest.Fault{Error: graph(190, 467, "")}, provider.NeedsReauth},
		"session without subcode":                    {refresh, authpipetest.Fault{Error: graph(102, 0, "")}, provider.NeedsReauth},
		"app removed":                                {refresh, authpipetest.Fault{Error: graph(190, 458, "")}, provider.Revoked},
		"the wrong kind of token is not expiry":      {refresh, authpipetest.Fault{Error: graph(190, 0, "This method must be called with a Page Access Token")}, provider.Caller},
		"a lost page role":                           {refresh, authpipetest.Fault{Error: graph(190, 492, "")}, provider.Permission},
		"a missing permission":                       {refresh, authpipetest.Fault{Status: 403, Error: graph(200, 0, "")}, provider.Permission},
		"the app's rate limit":                       {refresh, authpipetest.Fault{Error: graph(4, 0, "")}, provider.Throttled},
		"the user's rate limit":                      {refresh, authpipetest.Fault{Error: graph(17, 0, "")}, provider.Throttled},
		"a business use case's rate limit":           {refresh, authpipetest.Fault{Error: graph(80001, 0, "")}, provider.Throttled},
		"downtime":                                   {refresh, authpipetest.Fault{Status: 500, Error: graph(2, 0, "")}, provider.Transient},
		"an app that is gone":                        {refresh, authpipetest.Fault{Error: graph(200, 0, "(#200) Provide valid app ID")}, provider.Misconfigured},
		"an app that is gone, asked with its token":  {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: graph(200, 0, "(#200) Provide valid app ID")}, provider.Misconfigured},
		"transient, though it reads as death":        {refresh, authpipetest.Fault{Error: &authpipetest.GraphError{Code: 190, Subcode: 463, IsTransient: &transient}}, provider.Transient},
		"transient, though it reads as a removal":    {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Code: 190, Subcode: 458, IsTransient: &transient}}, provider.Transient},
		"blocked for policy":                         {refresh, authpipetest.Fault{Error: graph(368, 0, "")}, provider.Transient},
		"a code that nobody knows":                   {refresh, authpipetest.Fault{Error: graph(987654, 0, "")}, provider.Transient},
		"an unknown version":                         {refresh, authpipetest.Fault{Error: graph(2500, 0, "Unknown path components: /oauth/access_token")}, provider.Misconfigured},
		"a proof that is asked for":                  {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Type: "GraphMethodException", Code: 100, Message: "API calls from the server require an appsecret_proof argument"}}, provider.Misconfigured},
		"a proof that is wrong, with the other code": {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Code: 1, Message: "Invalid appsecret_proof provided in the API argument"}}, provider.Misconfigured},
		"the app token refused":                      {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: graph(190, 0, "Invalid OAuth access token signature.")}, provider.Misconfigured},
		"a token of another app":                     {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: graph(100, 0, "(#100) The App_id in the input_token did not match the Viewing App")}, provider.Caller},
		"dead with status 200":                       {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":false,"error":{"code":190,"subcode":463,"message":"x"}}}`}, provider.NeedsReauth},
		"revoked with status 200":                    {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":false,"error":{"code":190,"subcode":458,"message":"x"}}}`}, provider.Revoked},
		"dead, says a service that is down":          {inspect, dead(`"code":2,"message":"Service temporarily unavailable"`), provider.Transient},
		"dead, for reasons unknown":                  {inspect, dead(`"code":1,"message":"An unknown error"`), provider.Transient},
		"dead, says a limit":                         {inspect, dead(`"code":4,"message":"Application request limit reached"`), provider.Throttled},
		"dead, with a code that nobody knows":        {inspect, dead(`"code":987654,"message":"nobody knows"`), provider.Transient},
		"dead, for it is of the wrong kind":          {inspect, dead(`"code":190,"message":"This method must be called with a Page Access Token"`), provider.Caller},
		"dead by a lost page role":                   {inspect, dead(`"code":190,"subcode":492,"message":"x"`), provider.Permission},
		"dead without a reason":                      {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":false}}`}, provider.NeedsReauth},
		"an app's own token":                         {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"123"}}`}, provider.Caller},
		"an empty object is no death":                {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{}`}, provider.Transient},
		"an error with status 200":                   {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Status: 200, Error: graph(2, 0, "")}, provider.Transient},
		"HTML with status 200":                       {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: "<html>maintenance</html>"}, provider.Transient},
		"HTML with status 503":                       {exchange, authpipetest.Fault{Status: 503, Body: "<html>maintenance</html>"}, provider.Transient},
		"a truncated answer":                         {exchange, authpipetest.Fault{Body: `{"access_token":"EAA`}, provider.Transient},
		"an answer without a token":                  {refresh, authpipetest.Fault{Body: `{"token_type":"bearer"}`}, provider.Transient},
		"the app token refused at a revocation":      {revoke, authpipetest.Fault{Error: graph(190, 0, "Invalid OAuth access token signature.")}, provider.Misconfigured},
		"a person whom the app does not know":        {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Error: graph(100, 33, "")}, provider.Caller},
		"more than a mebibyte":                       {refresh, authpipetest.Fault{Body: `{"access_token":"` + strings.Repeat("A", 1<<20) + `"}`}, provider.Transient},
		"more than a mebibyte at the exchange":       {exchange, authpipetest.Fault{Body: `{"access_token":"` + strings.Repeat("A", 1<<20) + `"}`}, provider.Transient},
		"a redirect":                                 {revoke, authpipetest.Fault{Status: 302, Header: http.Header{"Location": {"https://evil.example/"}}, Body: "{}"}, provider.Transient},
		"a revocation that says false":               {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Body: `false`}, provider.Transient},
		"a revocation without success":               {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Body: `{"success":false}`}, provider.Transient},
		"a revocation that says nothing":             {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Status: 200, Body: " "}, provider.Transient},
		"a revocation answered in HTML":              {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Body: "<html>"}, provider.Transient},
		"an account that is null":                    {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"123","user_id":null,"expires_at":0}}`}, provider.Caller},
		"an account that is no number":               {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"123","user_id":"../x","expires_at":0}}`}, provider.Transient},
		"an account that is an object":               {inspect, authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"123","user_id":{"a":1},"expires_at":0}}`}, provider.Transient},
		"a code that is a string":                    {refresh, authpipetest.Fault{Status: 400, Body: `{"error":{"message":"x","code":"190","error_subcode":"460"}}`}, provider.NeedsReauth},
		"an exchange error with status 200":          {exchange, authpipetest.Fault{Status: 200, Error: graph(100, 36009, "")}, provider.Caller},
		"an exchange error as the RFC has it":        {exchange, authpipetest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`}, provider.Transient},
		"an exchange without a token":                {exchange, authpipetest.Fault{Body: `{"token_type":"bearer"}`}, provider.Transient},
		"an exchange answered with an empty object":  {exchange, authpipetest.Fault{Body: `{}`}, provider.Transient},
		"a connection that breaks":                   {revoke, authpipetest.Fault{Reset: true}, provider.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			token := w.token(t)
			defer w.fb.Fail(row.fault)()
			err := row.call(w, t.Context(), token)
			var e *provider.Error
			if !errors.As(err, &e) || e.Class != row.want {
				t.Fatalf("%v is %s, want %s", err, provider.ClassOf(err), row.want)
			}
			if text := err.Error(); strings.Contains(text, token.AccessToken.Reveal()) || strings.Contains(text, appSecret) || len(text) > 600 {
				t.Errorf("the error shows too much: %s", text)
			}
		})
	}
}

func TestAThrottleTellsUntilWhen(t *testing.T) {
	for name, row := range map[string]struct {
		header string
		want   time.Duration
	}{
		"the longest of several": {`{"1":[{"type":"pages","estimated_time_to_regain_access":3},{"estimated_time_to_regain_access":19}],"2":[{"estimated_time_to_regain_access":0}]}`, 19 * time.Minute},
		"longer than a day":      {`{"1":[{"estimated_time_to_regain_access":1e300}]}`, 24 * time.Hour},
		"nothing":                {``, 0},
		"no time":                {`{"1":[{"call_count":100}]}`, 0},
		"nonsense":               {`{"1":"soon"}`, 0},
		"a time that is over":    {`{"1":[{"estimated_time_to_regain_access":-5}]}`, 0},
	} {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(t)
		w.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 80001}, Header: http.Header{"X-Business-Use-Case-Usage": {row.header}}})
		_, err := w.Refresh(t.Context(), w.client, token)
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != provider.Throttled {
			t.Fatalf("%s: %v", name, err)
		}
		if want := w.clock.Now().Add(row.want); row.want == 0 && !e.Until.IsZero() || row.want > 0 && !e.Until.Equal(want) {
			t.Errorf("%s: until %v, want %v", name, e.Until, row.want)
		}
	}
}

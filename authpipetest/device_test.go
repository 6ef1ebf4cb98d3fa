package authpipetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const (
	clientToken = appID + "|CLIENT"
	pending     = `{"error":{"message":"This request requires the user to take a pending action","type":"OAuthException","code":31,
		"error_subcode":1349174,"is_transient":false,"error_user_title":"Device Login Authorization Pending",
		"error_user_msg":"User has not yet authorized your application. Continue polling.","fbtrace_id":"AuN"}}`
	tooFast = `{"error":{"message":"User request limit reached","type":"OAuthException","code":17,
		"error_subcode":1349172,"is_transient":false,"error_user_title":"OAuth Device Excessive Polling",
		"error_user_msg":"Your device is polling too frequently. Space your requests with a minium interval of 5 seconds.","fbtrace_id":"AuN"}}`
	expired = `{"error":{"message":"The session has expired","type":"OAuthException","code":463,
		"error_subcode":1349152,"is_transient":false,"error_user_title":"Activation Code Expired",
		"error_user_msg":"The code you entered has expired. Please go back to your device for a new code and try again.","fbtrace_id":"AuN"}}`
)

type device struct {
	world
	Code     string
	UserCode string `json:"user_code"`
}

func newDevice(t *testing.T, o authpipetest.Options) device {
	t.Helper()
	w := newWorld(t, o)
	w.AddApp(authpipetest.App{ID: appID, Secret: appSecret, ClientToken: "CLIENT", RedirectURIs: []string{callback}})
	d := device{world: w}
	r := w.submit("/v26.0/device/login", params("access_token", clientToken, "scope", "email,pages_show_list"))
	if err := json.Unmarshal([]byte(r.body), &d); err != nil {
		t.Fatal(err)
	}
	r.is(http.StatusOK, fmt.Sprintf(`{"code":%q,"user_code":%q,"verification_uri":%q,"expires_in":420,"interval":5}`, d.Code, d.UserCode, w.base+"/device"))
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(d.Code) || !regexp.MustCompile(`^[A-Z0-9]{8}$`).MatchString(d.UserCode) {
		t.Errorf("codes %q and %q", d.Code, d.UserCode)
	}
	return d
}

func (d device) poll() reply {
	d.t.Helper()
	return d.submit("/v26.0/device/login_status", params("access_token", clientToken, "code", d.Code))
}

func TestDeviceIntervalIsAnOption(t *testing.T) {
	w := newWorld(t, authpipetest.Options{DeviceInterval: time.Second})
	w.AddApp(authpipetest.App{ID: appID, Secret: appSecret, ClientToken: "CLIENT", RedirectURIs: []string{callback}})
	d := device{world: w}
	r := w.submit("/v26.0/device/login", params("access_token", clientToken))
	if err := json.Unmarshal([]byte(r.body), &d); err != nil || !strings.Contains(r.body, `"interval":1`) {
		t.Fatalf("got %s, %v", r.body, err)
	}
	d.poll().is(http.StatusBadRequest, pending)
	d.poll().is(http.StatusBadRequest, tooFast)
	d.clock.Advance(time.Second)
	d.poll().is(http.StatusBadRequest, pending)
}

func TestDeviceLoginIssuesToken(t *testing.T) {
	d := newDevice(t, authpipetest.Options{})
	d.poll().is(http.StatusBadRequest, pending)
	d.clock.Advance(4 * time.Second)
	d.poll().is(http.StatusBadRequest, tooFast)
	d.clock.Advance(5 * time.Second)
	d.poll().is(http.StatusBadRequest, pending)
	if err := d.ApproveDevice(strings.ToLower(d.UserCode), authpipetest.Consent{User: "ada", Decline: []string{"email"}}); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(5 * time.Second)
	r := d.poll()
	token := r.accessToken()
	r.is(http.StatusOK, fmt.Sprintf(`{"access_token":%q,"data_access_expiration_time":%d,"expires_in":5183999}`,
		token, 1794816000+9+90*24*60*60))
	if seen, _ := d.Inspect(token); seen.User != "ada" || strings.Join(seen.Scopes, ",") != "pages_show_list,public_profile" {
		t.Errorf("token %+v", seen)
	}
	d.clock.Advance(5 * time.Second)
	d.poll().is(http.StatusBadRequest, expired) // the code is used up
}

func TestDeviceCodeExpires(t *testing.T) {
	d := newDevice(t, authpipetest.Options{})
	d.clock.Advance(419 * time.Second)
	d.poll().is(http.StatusBadRequest, pending)
	d.clock.Advance(time.Second)
	d.poll().is(http.StatusBadRequest, expired)
	if err := d.ApproveDevice(d.UserCode, authpipetest.Consent{}); err == nil {
		t.Error("an expired code was approved")
	}
}

func TestDeviceLoginDenied(t *testing.T) {
	for _, test := range []struct {
		name   string
		denied *authpipetest.GraphError
		want   string
	}{
		{"the device goes on waiting", nil, pending},
		{
			"or gets the error of the option", &authpipetest.GraphError{Code: 17, Subcode: 1349175, Type: "OAuthException", Message: "no"},
			`{"error":{"message":"no","type":"OAuthException","code":17,"error_subcode":1349175,"fbtrace_id":"A"}}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDevice(t, authpipetest.Options{DeviceDenied: test.denied})
			if err := d.ApproveDevice(d.UserCode, authpipetest.Consent{Cancel: true}); err != nil {
				t.Fatal(err)
			}
			d.poll().is(http.StatusBadRequest, test.want)
			if err := d.ApproveDevice(d.UserCode, authpipetest.Consent{}); err == nil {
				t.Error("a denied code was approved")
			}
		})
	}
}

func TestDeviceLoginRefusals(t *testing.T) {
	d := newDevice(t, authpipetest.Options{})
	for _, token := range []string{"", appToken, d.token("email"), "456|", "999|CLIENT"} {
		for _, path := range []string{"/v26.0/device/login", "/v26.0/device/login_status"} {
			d.submit(path, params("access_token", token, "code", d.Code)).
				refused(http.StatusBadRequest, 190, "(#190) This method must be called with a client access token")
		}
	}
	d.submit("/device/login_status", params("access_token", clientToken, "code", "0")).refused(http.StatusBadRequest, 100, "(#100) Invalid parameter")
	if err := d.ApproveDevice(d.UserCode, authpipetest.Consent{User: "nobody"}); err == nil {
		t.Error("an unknown person approved")
	}
	if err := d.ApproveDevice(d.UserCode, authpipetest.Consent{}); err != nil {
		t.Fatal(err)
	}
	d.RemoveApp(appID, "ada")
	d.poll().refusedSub(190, 458, notAuthorized)
}

func TestDevicePageApprovesLogin(t *testing.T) {
	d := newDevice(t, authpipetest.Options{})
	if r := d.open(d.base + "/device"); !strings.Contains(r.body, `name="user_code"`) || !strings.Contains(r.body, "Uma User") {
		t.Errorf("the page: %s", r.body)
	}
	if r := d.submit("/device", params("user_code", "NOPE", "user", "uma", "action", "continue")); !strings.Contains(r.body, "no login waits") {
		t.Errorf("a wrong code: %s", r.body)
	}
	if r := d.submit("/device", params("user_code", d.UserCode, "user", "uma", "action", "continue")); !strings.Contains(r.body, "Done.") {
		t.Errorf("the right code: %s", r.body)
	}
	if seen, _ := d.Inspect(d.poll().accessToken()); seen.User != "uma" {
		t.Errorf("token %+v", seen)
	}
}

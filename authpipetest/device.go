package authpipetest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// deviceLife is how long a device login can be approved ("Login for Devices").
const deviceLife = 420 * time.Second

// deviceLogin is a login that a person approves by typing in its user code.
type deviceLogin struct {
	code, userCode string
	app            *App
	scopes         []string
	issued, polled time.Time // polled: zero before the first poll
	grant          *grant    // nil until the person approves
	denied, used   bool
}

// devices has the device logins, their endpoints and their page.
type devices struct {
	*settings
	directory *directory
	grants    *grants
	tokens    *tokens

	logins []*deviceLogin
}

type deviceAnswer struct {
	Code            string `json:"code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	ExpiresIn       int64  `json:"expires_in"`
	Interval        int64  `json:"interval"`
}

// deviceTokenAnswer has no token_type.
type deviceTokenAnswer struct {
	AccessToken          string `json:"access_token"`
	DataAccessExpiration int64  `json:"data_access_expiration_time"`
	ExpiresIn            int64  `json:"expires_in"`
}

// begin issues the codes of a device login ("Login for Devices"). The verification_uri is the simulator's own page,
// where Facebook's is https://www.facebook.com/device.
func (ds *devices) begin(c *call) (any, error) {
	app, err := ds.app(c)
	if err != nil {
		return nil, err
	}
	scopes := append(list(c.param("scope")), publicProfile)
	slices.Sort(scopes)
	d := &deviceLogin{
		code: random("0123456789abcdef", 32), userCode: random("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 8),
		app: app, scopes: slices.Compact(scopes), issued: ds.options().Now(),
	}
	ds.logins = append(ds.logins, d)
	return deviceAnswer{
		Code: d.code, UserCode: d.userCode, VerificationURI: c.base() + "/device",
		ExpiresIn: int64(deviceLife.Seconds()), Interval: int64(ds.options().DeviceInterval.Seconds()),
	}, nil
}

// app returns the app whose client token the call has: {app id}|{client token}. The app secret does not work.
func (ds *devices) app(c *call) (*App, error) {
	id, rest, _ := strings.Cut(c.accessToken(), "|")
	c.app = ds.directory.apps[id]
	if c.app == nil || rest == "" || rest != c.app.ClientToken {
		return nil, tokenError(0, "(#190) This method must be called with a client access token")
	}
	return c.app, nil
}

// status is the endpoint that the device polls ("Login for Devices").
func (ds *devices) status(c *call) (any, error) {
	app, err := ds.app(c)
	if err != nil {
		return nil, err
	}
	now := ds.options().Now()
	at := slices.IndexFunc(ds.logins, func(d *deviceLogin) bool { return d.app.ID == app.ID && d.code == c.param("code") })
	if at < 0 {
		return nil, oauthError(codeInvalid, "(#100) Invalid parameter")
	}
	d := ds.logins[at]
	last := d.polled
	d.polled = now
	switch {
	case d.used || !now.Before(d.issued.Add(deviceLife)):
		return nil, deviceExpired()
	case !last.IsZero() && now.Before(last.Add(ds.options().DeviceInterval)):
		return nil, deviceTooFast()
	case d.denied && ds.options().DeviceDenied != nil:
		return nil, invalidToken(ds.options().DeviceDenied)
	case d.grant == nil:
		return nil, devicePending()
	case d.grant.ended:
		return nil, invalidToken(ds.tokens.sessionError(&token{app: app.ID, person: d.grant.person}, SubcodeAppNotInstalled))
	}
	d.used = true
	t := ds.tokens.issue(d.grant, LongLife)
	return deviceTokenAnswer{t.value, unix(t.dataAccessExpires()), ds.tokens.answer(t, false).ExpiresIn}, nil
}

// ApproveDevice acts as the person who types in the user code of a device login, and decides as c says.
// [Options].DeviceDenied determines the answer to the device after a Cancel. ApproveDevice returns an error if no login
// has that code, or if there is no such person.
func (f *Facebook) ApproveDevice(userCode string, c Consent) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.endpoints.devices.approve(userCode, c)
}

func (ds *devices) approve(userCode string, c Consent) error {
	at := slices.IndexFunc(ds.logins, func(d *deviceLogin) bool {
		return d.userCode == strings.ToUpper(userCode) && d.waits(ds.options().Now())
	})
	if at < 0 {
		return fmt.Errorf("approving a device: no login waits for the code %q", userCode)
	}
	d, person := ds.logins[at], ds.directory.personOf(c)
	switch {
	case c.Cancel:
		d.denied = true
		return nil
	case ds.directory.users[person] == nil:
		return fmt.Errorf("approving a device: there is no user %q", person)
	}
	d.grant = ds.grants.allow(login{app: d.app, scopes: d.scopes}, person, c)
	return nil
}

func (d *deviceLogin) waits(now time.Time) bool {
	return d.grant == nil && !d.denied && now.Before(d.issued.Add(deviceLife))
}

// Codes of device login. Its errors differ in the subcode only ("Login for Devices").
const (
	codePending              = 31
	codeDeviceExpired        = 463
	subcodeDeviceExpired     = 1349152
	subcodeExcessivePolling  = 1349172
	subcodeDeviceNotApproved = 1349174
)

// devicePending answers before the person has typed in the code.
func devicePending() refusal {
	return deviceError(codePending, subcodeDeviceNotApproved, "This request requires the user to take a pending action",
		"Device Login Authorization Pending", "User has not yet authorized your application. Continue polling.")
}

// deviceTooFast answers a poll before the interval is over.
func deviceTooFast() refusal {
	return deviceError(codeUserLimit, subcodeExcessivePolling, "User request limit reached", "OAuth Device Excessive Polling",
		"Your device is polling too frequently. Space your requests with a minium interval of 5 seconds.")
}

// deviceExpired answers if the code has expired or was used.
func deviceExpired() refusal {
	return deviceError(codeDeviceExpired, subcodeDeviceExpired, "The session has expired", "Activation Code Expired",
		"The code you entered has expired. Please go back to your device for a new code and try again.")
}

func deviceError(code, subcode int, message, title, text string) refusal {
	r := oauthError(code, "%s", message)
	r.Subcode, r.UserTitle, r.UserMsg, r.IsTransient = subcode, title, text, new(false)
	return r
}

var deviceTemplate = pageTemplate("device.html")

// page is the page on which a person types in the code that a device shows.
func (ds *devices) page(c *call) answer {
	shown := map[string]any{"Code": c.query.Get("user_code"), "People": ds.directory.peopleInOrder()}
	if c.request.Method == http.MethodPost {
		consent := Consent{User: c.form.Get("user"), Cancel: c.form.Get("action") != "continue", AsOffered: true}
		shown["Code"] = c.form.Get("user_code")
		if err := ds.approve(c.form.Get("user_code"), consent); err != nil {
			shown["Error"] = err.Error()
		} else {
			shown["Done"] = true
		}
	}
	return htmlAnswer(ds.options().Now(), http.StatusOK, deviceTemplate, shown)
}

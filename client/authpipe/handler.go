package authpipe

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode"
)

// A Person is who is signed in to the application at a request, as the application's own login says.
type Person struct {
	Actor  string // the application's id of the person: the one that cannot be chosen or reused
	Tenant string // the tenant for which they act at this request
	User   string // under which their own credential is kept. Zero: Actor

	// MayInstall allows the person to connect the tenant's installation, which every member of the tenant then acts through. Zero:
	// the handler refuses to begin an installation for this person, and to complete one.
	MayInstall bool
}

// A ConnectHandler serves the two ends of a connection, at three paths of which only the last element counts:
//
//	POST …/install     begins to connect the tenant's installation, and sends the browser to the provider; needs MayInstall
//	POST …/authorize   begins to connect the person, likewise
//	GET  …/return      takes the browser back and completes the session
//
// It keeps nothing, neither in memory nor in a cookie. At the start and again at the return it asks SignedIn who is there, and
// tells the engine: who returns must be who began. A stranger whom somebody has sent a link to, to have their account connected
// as somebody else's or somebody else's as theirs, is refused by the engine with ErrActorMismatch. An installation needs
// [Person].MayInstall at both ends: if it is gone at the return, the session is cancelled.
//
// The starts are refused to requests from other origins ([http.CrossOriginProtection]). The return comes from another site by its
// nature, so the application's session cookie must not be SameSite=Strict.
type ConnectHandler struct {
	Client   *Client // required
	Provider string  // zero: DefaultProvider

	// SignedIn returns who is signed in at this request. It is required, and must go by the application's own session and by nothing else in the
	// request. An error refuses the request, and is handed to Failed.
	SignedIn func(*http.Request) (Person, error)

	// ReturnURL is where browsers reach …/return, exactly as it stands among the configuration's return_urls. RedirectURI is
	// the same URL among its redirect_uris, for an application that has the provider send browsers to itself and not to Vault.
	// Give one of them.
	ReturnURL, RedirectURI string

	// Scopes lists the scopes that a browser may ask for, by form fields named scopes, one or more to a field, separated by spaces
	// or commas. Zero: none, and a start with scopes is refused with ErrInvalidRequest. What Begin sets is not held to the list.
	Scopes []string

	// Begin is called before a session begins. It may change the request or refuse it by an error. The Tenant and the Actor stay
	// those of the Person, whatever Begin sets, and an installation needs MayInstall. Zero: nothing is changed or refused.
	Begin func(*http.Request, Person, *ConnectRequest) error

	// Done answers a browser whose session is completed. It should send it on, so that the URL with the connect code is not
	// the one that stays. Zero: a line of text.
	Done func(http.ResponseWriter, *http.Request, Connection)

	// Failed answers every other browser. err is SignedIn's, Begin's or an [*Error]. Zero: a status and its name, for why it
	// failed is nobody's business but the application's.
	Failed func(http.ResponseWriter, *http.Request, error)
}

// ServeHTTP implements [http.Handler].
func (h *ConnectHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer") // there is a connect code in the URL
	header.Set("X-Content-Type-Options", "nosniff")
	end := path.Base(r.URL.Path)
	method := map[string]string{"install": http.MethodPost, "authorize": http.MethodPost, "return": http.MethodGet}[end]
	switch {
	case method == "":
		http.NotFound(w, r)
	case r.Method != method:
		header.Set("Allow", method)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	case method == http.MethodGet:
		h.finish(w, r)
	default:
		h.begin(w, r, end == "authorize")
	}
}

// errOtherOrigin is handed to Failed where another site posts to a start.
var errOtherOrigin = &Error{Op: "beginning a connection", Code: ErrAccessDenied, Status: http.StatusForbidden, Message: "the request comes from another origin"}

func (h *ConnectHandler) begin(w http.ResponseWriter, r *http.Request, user bool) {
	var guard http.CrossOriginProtection
	if guard.Check(r) != nil {
		h.fail(w, r, errOtherOrigin)
		return
	}
	person, err := h.signedIn(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	q := ConnectRequest{Provider: h.Provider, Tenant: person.Tenant, For: ForInstallation, ReturnURL: h.ReturnURL, RedirectURI: h.RedirectURI}
	if user {
		q.For, q.User = ForUser, cmp.Or(person.User, person.Actor)
	}
	q.Scopes, err = h.scopes(r)
	if err == nil && h.Begin != nil {
		err = h.Begin(r, person, &q)
	}
	q.Actor, q.Tenant = person.Actor, person.Tenant // whatever Begin has made of it
	if err == nil && q.For != ForUser && !person.MayInstall {
		err = errMayNotInstall
	}
	var started Started
	if err == nil {
		started, err = h.Client.Connect(r.Context(), q)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	http.Redirect(w, r, started.AuthorizationURL, http.StatusSeeOther)
}

// scopes returns the scopes that the browser asks for, if the application allows all of them.
func (h *ConnectHandler) scopes(r *http.Request) ([]string, error) {
	if err := r.ParseForm(); err != nil {
		return nil, &Error{Op: "beginning a connection", Code: ErrInvalidRequest, Status: http.StatusBadRequest, Message: "the form cannot be read"}
	}
	var asked []string
	for _, field := range r.Form["scopes"] {
		asked = append(asked, strings.FieldsFunc(field, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })...)
	}
	for _, scope := range asked {
		if !slices.Contains(h.Scopes, scope) {
			return nil, errScopes
		}
	}
	return asked, nil
}

// errScopes is handed to Failed where a browser asks for scopes that the application has not listed.
var errScopes = &Error{
	Op: "beginning a connection", Code: ErrInvalidRequest, Status: http.StatusBadRequest,
	Message: "the browser asks for scopes that ConnectHandler.Scopes does not list",
}

// errMayNotInstall is handed to Failed where a person without MayInstall begins or completes an installation.
var errMayNotInstall = &Error{
	Op: "connecting an installation", Code: ErrAccessDenied, Status: http.StatusForbidden,
	Message: "the person may not install: SignedIn did not set MayInstall",
}

// finish completes the session that the URL names, in the name of who is there now.
func (h *ConnectHandler) finish(w http.ResponseWriter, r *http.Request) {
	person, err := h.signedIn(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	query := r.URL.Query()
	done := Completion{Tenant: person.Tenant, Session: query.Get("session_id"), Actor: person.Actor, ConnectCode: NewSecret(query.Get("connect_code"))}
	if query.Has("state") { // the provider's own answer
		done.Session, done.ConnectCode, done.Answer = SessionOf(query.Get("state")), Secret{}, query
	}
	session, err := h.Client.Session(r.Context(), person.Tenant, done.Session)
	if err == nil {
		err = h.mayComplete(r.Context(), person, session, done.Session)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if done.ConnectCode.IsZero() && done.Answer == nil { // the callback has failed it, or completed it
		h.ended(w, r, person, session)
		return
	}
	connection, err := h.Client.Complete(r.Context(), done)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.succeed(w, r, connection)
}

// mayComplete refuses an installation to a person without MayInstall, and cancels the session. If another person than the session's
// actor comes back, the engine refuses and destroys the code.
func (h *ConnectHandler) mayComplete(ctx context.Context, person Person, session Session, id string) error {
	r, ok := parseRef(session.Ref)
	if ok && r.source() == ForUser || person.MayInstall || session.Actor != person.Actor {
		return nil
	}
	_ = h.Client.Cancel(ctx, person.Tenant, id) // it ends by itself otherwise
	return errMayNotInstall
}

// ended reports what became of a session. The URL is no evidence of it: anyone can write one.
func (h *ConnectHandler) ended(w http.ResponseWriter, r *http.Request, person Person, session Session) {
	var err error
	refuse := func(code Code, message string) error {
		return &Error{Op: "connecting " + session.Ref, Code: code, Status: http.StatusConflict, Message: message}
	}
	switch {
	case session.Actor != person.Actor:
		err = refuse(ErrActorMismatch, "the session is somebody else's")
	case session.Status == "completed":
		if ref, ok := parseRef(session.Ref); ok {
			h.Client.forget(ref)
			var connection Connection
			if connection, err = h.Client.Connection(r.Context(), ref.request()); err == nil {
				h.succeed(w, r, connection)
				return
			}
		}
	case session.Error != "":
		err = refuse(session.Error, session.ErrorDescription)
	case session.Status == "expired":
		err = refuse(ErrSessionExpired, "the person came back too late; begin again")
	default:
		err = refuse(ErrPending, "the session is "+session.Status)
	}
	h.fail(w, r, err)
}

// errNobody is for a SignedIn that names nobody, and says no more.
var errNobody = &Error{Op: "connecting", Code: ErrAccessDenied, Status: http.StatusUnauthorized, Message: "nobody is signed in"}

func (h *ConnectHandler) signedIn(r *http.Request) (Person, error) {
	person, err := h.SignedIn(r)
	if err == nil && person.Actor == "" {
		err = errNobody
	}
	return person, err
}

func (h *ConnectHandler) succeed(w http.ResponseWriter, r *http.Request, connection Connection) {
	if h.Done != nil {
		h.Done(w, r, connection)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("Connected. You can close this page.\n"))
}

func (h *ConnectHandler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if h.Failed != nil {
		h.Failed(w, r, err)
		return
	}
	status := http.StatusForbidden // what the application's own functions refuse
	var e *Error
	if errors.As(err, &e) {
		if status = e.Status; status < http.StatusBadRequest {
			status = http.StatusBadRequest
		}
		if slices.Contains([]Code{ErrUnavailable, ErrPermissionDenied, ErrNoMount, ""}, e.Code) {
			status = http.StatusBadGateway // it is between the application and Vault
		}
	}
	http.Error(w, http.StatusText(status), status)
}

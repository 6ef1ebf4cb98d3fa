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

// A Person is the person signed in to the application at a request, according to the application's own session.
type Person struct {
	Actor  string // the application's id of the person, which the person can neither choose nor reuse
	Tenant string // the tenant that the person acts for at this request
	User   string // the user id of the person's own credential. Zero: Actor

	// MayInstall allows the person to connect the tenant's installation, which every member of the tenant then acts through. Zero:
	// the handler refuses to begin an installation for this person, and to complete one.
	MayInstall bool
}

// A ConnectHandler serves the two ends of a connection, at three paths of which only the last element counts:
//
//	POST …/install     begins a session for the tenant's installation, and sends the browser to the provider; needs MayInstall
//	POST …/authorize   begins a session for the person, likewise
//	GET  …/return      takes the browser back and completes the session
//
// It stores nothing, neither in memory nor in a cookie. At the start and again at the return it calls SignedIn and sends the actor to
// the engine. If another person returns than the one that began, because one of them followed a link of the other, the engine
// refuses with ErrActorMismatch: no account is connected to another person's user. An installation needs [Person].MayInstall at both
// ends: without it at the return, the session is cancelled.
//
// The starts refuse requests from other origins ([http.CrossOriginProtection]). The return always comes from another site, so the
// application's session cookie must not be SameSite=Strict.
type ConnectHandler struct {
	Client   *Client // required
	Provider string  // zero: DefaultProvider

	// SignedIn returns the person signed in at this request. It is required, and must depend on the application's own session
	// alone, not on other parts of the request. An error refuses the request, and is passed to Failed.
	SignedIn func(*http.Request) (Person, error)

	// ReturnURL is the URL of …/return, exactly as it stands in the configuration's return_urls. RedirectURI is the same URL in
	// redirect_uris, for an application that hosts the redirect URI itself. Set one of them.
	ReturnURL, RedirectURI string

	// Scopes lists the scopes that a browser may request, by form fields named scopes, one or more in a field, separated by spaces
	// or commas. Zero: none, and a start with scopes is refused with ErrInvalidRequest. Scopes that Begin sets need not be listed.
	Scopes []string

	// Begin is called before a session begins. It may change the request, or refuse it with an error. The Tenant and the Actor stay
	// those of the Person, whatever Begin sets, and an installation needs MayInstall. Zero: no change.
	Begin func(*http.Request, Person, *ConnectRequest) error

	// Done responds to a browser whose session is completed. It should redirect it, so that the URL with the connect code does
	// not stay in the address bar. Zero: a line of text.
	Done func(http.ResponseWriter, *http.Request, Connection)

	// Failed responds to every other browser. err is SignedIn's, Begin's or an [*Error]. Zero: a status and its name, without the
	// reason, which may be confidential.
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

// errOtherOrigin is passed to Failed if another site posts to a start.
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
	q.Actor, q.Tenant = person.Actor, person.Tenant // whatever Begin has set
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

// scopes returns the scopes that the browser requests, if the application lists all of them.
func (h *ConnectHandler) scopes(r *http.Request) ([]string, error) {
	if err := r.ParseForm(); err != nil {
		return nil, &Error{Op: "beginning a connection", Code: ErrInvalidRequest, Status: http.StatusBadRequest, Message: "the form cannot be read"}
	}
	var requested []string
	for _, field := range r.Form["scopes"] {
		requested = append(requested, strings.FieldsFunc(field, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })...)
	}
	for _, scope := range requested {
		if !slices.Contains(h.Scopes, scope) {
			return nil, errScopes
		}
	}
	return requested, nil
}

// errScopes is passed to Failed if a browser requests scopes that the application does not list.
var errScopes = &Error{
	Op: "beginning a connection", Code: ErrInvalidRequest, Status: http.StatusBadRequest,
	Message: "the browser requests scopes that ConnectHandler.Scopes does not list",
}

// errMayNotInstall is passed to Failed if a person without MayInstall begins or completes an installation.
var errMayNotInstall = &Error{
	Op: "connecting an installation", Code: ErrAccessDenied, Status: http.StatusForbidden,
	Message: "the person may not install: SignedIn did not set MayInstall",
}

// finish completes the session that the URL names, with the person signed in now as the actor.
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
	if done.ConnectCode.IsZero() && done.Answer == nil { // the callback has completed it, or it failed
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
// actor returns, the engine refuses and destroys the code.
func (h *ConnectHandler) mayComplete(ctx context.Context, person Person, session Session, id string) error {
	r, ok := parseRef(session.Ref)
	if ok && r.source() == ForUser || person.MayInstall || session.Actor != person.Actor {
		return nil
	}
	_ = h.Client.Cancel(ctx, person.Tenant, id) // if that fails, the session expires
	return errMayNotInstall
}

// ended responds with the outcome of a session that has ended. It reads the outcome from the engine: anyone can write a URL.
func (h *ConnectHandler) ended(w http.ResponseWriter, r *http.Request, person Person, session Session) {
	var err error
	refuse := func(code Code, message string) error {
		return &Error{Op: "connecting " + session.Ref, Code: code, Status: http.StatusConflict, Message: message}
	}
	switch {
	case session.Actor != person.Actor:
		err = refuse(ErrActorMismatch, "another person began the session; begin again")
	case session.Status == "completed":
		if ref, ok := parseRef(session.Ref); ok {
			h.Client.cache.forget(ref)
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

// errNotSignedIn is passed to Failed if SignedIn returns neither an actor nor an error.
var errNotSignedIn = &Error{Op: "connecting", Code: ErrAccessDenied, Status: http.StatusUnauthorized, Message: "no person is signed in: SignedIn did not set Actor"}

func (h *ConnectHandler) signedIn(r *http.Request) (Person, error) {
	person, err := h.SignedIn(r)
	if err == nil && person.Actor == "" {
		err = errNotSignedIn
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
	status := http.StatusForbidden // an error of the application's own functions
	var e *Error
	if errors.As(err, &e) {
		if status = e.Status; status < http.StatusBadRequest {
			status = http.StatusBadRequest
		}
		if slices.Contains([]Code{ErrUnavailable, ErrPermissionDenied, ErrNoMount, ""}, e.Code) {
			status = http.StatusBadGateway // Vault or the engine could not be reached or used
		}
	}
	http.Error(w, http.StatusText(status), status)
}

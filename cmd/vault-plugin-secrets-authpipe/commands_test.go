package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// commands are the scripts' commands beyond testscript's own. Those before let print, and may be negated with "!"; the others store the
// output in a variable or check it.
//
//	vault ARG...                  the vault CLI, with the script's VAULT_ADDR and VAULT_TOKEN
//	http [-post FORM] URL [HEADER...]
//	                              GETs (or POSTs a form) without a Vault token, and follows no redirect. Prints
//	                              the status, the headers and the body; fails from status 400 on
//	dashboard SECRET              resets the app's secret at Facebook
//	consent [FLAG...] URL         answers Facebook's dialog at URL, and prints the URL that it redirects to. -as ID: the
//	                              person signed in to Facebook (default: Alice), -decline SCOPE, -cancel
//	device CODE                   enters a user code at Facebook, as Alice
//	leave [-delete|-relay] ID     removes the app at Facebook as that person. Facebook posts a notification to authpipe/, with
//	                              -delete also a data deletion request. Prints the requests and the responses. With -relay it
//	                              posts to the application's webhook: prints what the application has to relay
//	connect REF ACTOR [FLAG...]   all steps of install.txt; the flags are consent's. connect -mount PATH … uses another mount
//	                              than authpipe/
//	plugins [-kill]               prints the ids of the plugin's processes, and kills them [linux]
//	register VERSION              makes a release of the working tree, and runs its register.sh for the server's plugin directory
//	documented [-run] FILE NAME [OLD=>NEW...]
//	                              prints the code block under <!-- NAME --> in one of the repository's documents, with some of
//	                              its text replaced, or runs the vault commands in it
//	alerted ALERT                 runs the vault command at the end of a documented alert's description
//	openapi MOUNT FILE            fails unless the mount's part of the server's OpenAPI document is the repository's FILE
//	capable [-none] TOKEN CAPABILITY PATH...
//	                              fails unless the token has the capability on all the paths, or on none
//	hold ENDPOINT, hold -end      makes Facebook hold its responses to calls of an endpoint, until hold -end
//	flood COUNT URL               makes COUNT requests, eight at a time, and prints the number of each status
//	load start REF...             starts applications that send requests while the script goes on: for each REF one reads it, one
//	                              checks it and one refreshes it, and one connects a user of the first REF's tenant
//	load wait COUNT               waits until each of these has made COUNT more requests
//	load stop COUNT               stops them; fails if a request failed, or if fewer than COUNT were made
//
//	example FILE [OLD=>NEW...]    prints a file of examples/ with some of its text replaced
//	shorten TOKEN LIFE            makes the token at Facebook expire after LIFE
//	shows FILE REGEXP             prints a file; fails if it does not exist or does not match
//	paced PATH LOG                prints the times of PATH's reads and the ttls of the responses, from the audit log; fails if a
//	                              read came before the last ttl was over, or if the reader's LOG does not show the ttl
//	background COMMAND [ARG...]   starts a vault command that runs until the script ends, without a token; COMMAND.log is its log
//
//	let NAME COMMAND...           runs one of the above and stores its output, trimmed, in $NAME
//	json NAME PATH                stores a field of the last output, which is JSON: json URL data.authorization_url
//	match NAME REGEXP             stores the match of the regexp's first group in the last output, HTML unescaped
//	says REGEXP COMMAND...        runs one of the above; fails unless it succeeds and its output matches
//	refused REGEXP COMMAND...     runs one of the above; fails unless it fails and its output matches
//	eventually COMMAND...         repeats one of the above until it succeeds, for minutes at most
//
//	[openbao] LINE                runs LINE only if the server is an OpenBao
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){
		"let": let, "json": jsonField, "match": match, "eventually": eventually, "background": background,
	}
	for name, c := range printing {
		all[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			out, err := c(ts, args)
			show(ts, out)
			switch {
			case err == nil && neg:
				ts.Fatalf("unexpected success")
			case err != nil && !neg:
				ts.Fatalf("%v", err)
			}
		}
	}
	return all
}

// printing are the commands that print. Wrong usage fails the script, with a "!" too.
var printing = map[string]func(*testscript.TestScript, []string) (output, error){
	"vault": vaultCLI, "http": get, "dashboard": dashboard, "device": device, "leave": leave, "consent": consent, "connect": connect, "plugins": plugins,
	"load": loadCommand, "register": register, "documented": documented, "alerted": alerted, "capable": capable, "flood": flood, "openapi": openAPI,
	"example": example, "shorten": shorten, "shows": shows, "paced": paced, "hold": hold,
}

func init() { // these commands refer to printing
	printing["says"] = func(ts *testscript.TestScript, args []string) (output, error) {
		out, err := inner(ts, "says", args)
		if err == nil {
			err = prints(ts, args[0], out)
		}
		return out, err
	}
	printing["refused"] = func(ts *testscript.TestScript, args []string) (output, error) {
		out, err := inner(ts, "refused", args)
		if err == nil {
			return out, errors.New("unexpected success")
		}
		return out, prints(ts, args[0], out)
	}
}

// inner runs the command after a regexp.
func inner(ts *testscript.TestScript, name string, args []string) (output, error) {
	if len(args) < 2 || printing[args[1]] == nil {
		ts.Fatalf("usage: %s REGEXP COMMAND...", name)
	}
	return printing[args[1]](ts, args[2:])
}

// prints returns an error unless the output matches a regexp.
func prints(ts *testscript.TestScript, pattern string, out output) error {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	if !re.MatchString(out.stdout) && !re.MatchString(out.stderr) {
		return fmt.Errorf("no match for %s", pattern)
	}
	return nil
}

// output is the output of a command.
type output struct{ stdout, stderr string }

func show(ts *testscript.TestScript, out output) {
	_, _ = io.WriteString(ts.Stdout(), out.stdout)
	_, _ = io.WriteString(ts.Stderr(), out.stderr)
}

func environmentOf(ts *testscript.TestScript) *environment {
	return ts.Value(environmentKey{}).(*environment)
}

func vaultCLI(ts *testscript.TestScript, args []string) (out output, err error) {
	patiently(func() string {
		out, err = vaultOnce(ts, args)
		return out.stderr
	})
	return out, err
}

func vaultOnce(ts *testscript.TestScript, args []string) (output, error) {
	cmd := exec.Command(environmentOf(ts).vault, args...)
	cmd.Dir = ts.MkAbs(".")
	// Without the variables of the developer's own Vault, and without retries: the CLI would retry a 502.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "VAULT_MAX_RETRIES=0", "VAULT_CLIENT_TIMEOUT=" + patience.String()}
	for _, name := range []string{"HOME", "VAULT_ADDR", "VAULT_TOKEN"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return output{stdout.String(), stderr.String()}, err
}

func get(ts *testscript.TestScript, args []string) (output, error) {
	var form string
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	flags.StringVar(&form, "post", "", "")
	ts.Check(flags.Parse(args))
	if flags.NArg() == 0 {
		ts.Fatalf("usage: http [-post FORM] URL [HEADER...]")
	}
	method := http.MethodGet
	if form != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, flags.Arg(0), strings.NewReader(form))
	ts.Check(err)
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, header := range flags.Args()[1:] {
		name, value, _ := strings.Cut(header, ":")
		req.Header.Set(name, strings.TrimSpace(value))
	}
	client := http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return output{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode >= http.StatusBadRequest {
		err = errors.New(resp.Status)
	}
	if strings.Contains(req.URL.Path, "/callback/") {
		environmentOf(ts).pages = append(environmentOf(ts).pages, render(resp, body))
	}
	return output{stdout: render(resp, body)}, err
}

// render writes a response for readers and regexps, without its date, so that two can be compared.
func render(resp *http.Response, body []byte) string {
	var text strings.Builder
	fmt.Fprintf(&text, "HTTP %d\n", resp.StatusCode)
	resp.Header.Del("Date")
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		fmt.Fprintf(&text, "%s: %s\n", name, strings.Join(resp.Header[name], ", "))
	}
	fmt.Fprintf(&text, "\n%s\n", bytes.TrimRight(body, "\n"))
	return text.String()
}

func dashboard(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 1 {
		ts.Fatalf("usage: dashboard SECRET")
	}
	environmentOf(ts).facebook.SetAppSecret(appID, args[0])
	return output{stdout: "the app has another secret\n"}, nil
}

func device(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 1 {
		ts.Fatalf("usage: device CODE")
	}
	return output{}, environmentOf(ts).facebook.ApproveDevice(args[0], authpipetest.Consent{User: alice})
}

func consent(ts *testscript.TestScript, args []string) (output, error) {
	var answer authpipetest.Consent
	flags := flag.NewFlagSet("consent", flag.ContinueOnError)
	flags.StringVar(&answer.User, "as", alice, "")
	flags.BoolVar(&answer.Cancel, "cancel", false, "")
	flags.Func("decline", "", func(scope string) error { answer.Decline = append(answer.Decline, scope); return nil })
	ts.Check(flags.Parse(args))
	to, err := environmentOf(ts).facebook.Authorize(flags.Arg(0), answer)
	if err != nil {
		return output{}, err
	}
	return output{stdout: to.String() + "\n"}, nil
}

// connect fails the script if a step fails, except the first and the last one, whose failure it returns.
func connect(ts *testscript.TestScript, args []string) (output, error) {
	mount := "authpipe"
	if len(args) > 2 && args[0] == "-mount" {
		mount, args = args[1], args[2:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: connect [-mount PATH] REF ACTOR [FLAG...]")
	}
	ref, actor, flags := args[0], args[1], args[2:]
	begun, err := vaultCLI(ts, []string{"write", "-format=json", mount + "/connect/" + ref, "actor=" + actor})
	if err != nil {
		return begun, err
	}
	url, session := field(ts, begun.stdout, "data.authorization_url"), field(ts, begun.stdout, "data.session_id")
	back, err := consent(ts, append(flags, url))
	ts.Check(err)
	page, err := get(ts, []string{strings.TrimSpace(back.stdout)})
	ts.Check(err)
	code := group(ts, page.stdout, connectCode)
	environmentOf(ts).keep("CODE", code)
	tenant, _, _ := strings.Cut(ref, "/")
	return vaultCLI(ts, []string{"write", mount + "/sessions/" + tenant + "/" + session + "/complete",
		"actor=" + actor, "connect_code=" + code})
}

// connectCode finds the connect code on the callback's page.
const connectCode = `<code[^>]*>([^<]+)</code>`

func plugins(ts *testscript.TestScript, args []string) (output, error) {
	var out output
	for _, pid := range vaulttest.ProcessesOf(environmentOf(ts).server.plugin) {
		out.stdout += strconv.Itoa(pid) + "\n"
		if !slices.Equal(args, []string{"-kill"}) {
			continue
		}
		process, err := os.FindProcess(pid)
		ts.Check(err)
		ts.Check(process.Kill())
	}
	return out, nil
}

func let(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || printing[args[1]] == nil {
		ts.Fatalf("usage: let NAME COMMAND...")
	}
	out, err := printing[args[1]](ts, args[2:])
	show(ts, out)
	ts.Check(err)
	set(ts, args[0], strings.TrimSpace(out.stdout))
}

func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: json NAME PATH")
	}
	set(ts, args[0], field(ts, ts.ReadFile("stdout"), args[1]))
}

func match(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: match NAME REGEXP")
	}
	set(ts, args[0], group(ts, ts.ReadFile("stdout"), args[1]))
}

func set(ts *testscript.TestScript, name, value string) {
	environmentOf(ts).keep(name, value)
	ts.Setenv(name, value)
}

// field returns the field of a JSON document at a dotted path. The script fails if there is none.
func field(ts *testscript.TestScript, document, path string) string {
	var value any
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.UseNumber()
	ts.Check(decoder.Decode(&value))
	for _, key := range strings.Split(path, ".") {
		object, _ := value.(map[string]any)
		var found bool
		if value, found = object[key]; !found {
			ts.Fatalf("no %s in %s: no %q", path, document, key)
		}
	}
	return fmt.Sprint(value)
}

// group returns what a regexp's first group matches. The script fails if it does not match.
func group(ts *testscript.TestScript, text, pattern string) string {
	re, err := regexp.Compile(pattern)
	ts.Check(err)
	found := re.FindStringSubmatch(text)
	if len(found) < 2 {
		ts.Fatalf("no match for %s in\n%s", pattern, text)
	}
	return html.UnescapeString(found[1])
}

// eventually repeats a command, to wait for another process.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || printing[args[0]] == nil {
		ts.Fatalf("usage: eventually COMMAND...")
	}
	var last output
	err := vaulttest.Await(strings.Join(args, " "), patience, nil, func() (err error) {
		last, err = printing[args[0]](ts, args[1:])
		return err
	})
	show(ts, last)
	ts.Check(err)
}

// hold makes Facebook hold its responses to calls of an endpoint.
func hold(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 1 {
		ts.Fatalf("usage: hold ENDPOINT or hold -end")
	}
	w := environmentOf(ts)
	if args[0] != "-end" {
		w.holds = append(w.holds, w.facebook.Fail(authpipetest.Fault{Endpoint: args[0], Hang: true}))
		return output{}, nil
	}
	for _, end := range w.holds {
		end()
	}
	w.holds = nil
	return output{}, nil
}

package enginetest

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/testhelpers/schema"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
)

// HandleRequest makes a request as Vault does. All requests of tests come here,
// and each answer is checked against the schema that the engine documents for it.
func (e *Engine) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	resp, err := e.Backend.HandleRequest(ctx, req)
	e.answered(req.Path, resp, err)
	t, ok := e.T.(*testing.T)
	if route := e.Route(req.Path); ok && err == nil && !resp.IsError() && route != nil && route.Operations[req.Operation] != nil {
		t.Helper()
		checkAnswer(t, route, req.Operation, resp)
	}
	return resp, err
}

// checkAnswer holds an answer to its schema. The SDK's own check is a weak one:
// it takes a number for a string, and null for anything.
func checkAnswer(t *testing.T, p *framework.Path, op logical.Operation, resp *logical.Response) {
	t.Helper()
	status := statusOf(op, resp)
	if status == http.StatusNotFound {
		return
	}
	documented := p.Operations[op].Properties().Responses[status]
	if len(documented) != 1 {
		t.Errorf("%s %s was answered with status %d, which is not documented", op, p.Pattern, status)
		return
	}
	answered.Store(promise(op, p, status), true)
	body := bodyOf(t, resp)
	schema.ValidateResponse(t, &documented[0], &logical.Response{Data: body}, true)
	for name, value := range body {
		field := documented[0].Fields[name]
		if field == nil {
			continue // of a raw answer
		}
		answered.Store(name+": "+field.Description, true)
		if kind := kindOf(value); !slices.Contains(kinds[field.Type], kind) {
			t.Errorf("%s %s: %s is %#v, which is no %s", op, p.Pattern, name, value, field.Type)
		}
		if field.AllowedValues != nil && !slices.Contains(field.AllowedValues, value) {
			t.Errorf("%s %s: %s is %v, which is none of %v", op, p.Pattern, name, value, field.AllowedValues)
		}
	}
}

// kinds are what fields of answers may be, so that they are in JSON what the
// document says.
var kinds = map[framework.FieldType][]reflect.Kind{
	framework.TypeString: {reflect.String}, framework.TypeTime: {reflect.String}, framework.TypeBool: {reflect.Bool},
	framework.TypeInt: {reflect.Int, reflect.Int64, reflect.Uint64}, framework.TypeInt64: {reflect.Int, reflect.Int64, reflect.Uint64},
	framework.TypeMap: {reflect.Map}, framework.TypeSlice: {reflect.Slice}, framework.TypeStringSlice: {reflect.Slice},
}

// kindOf returns the kind of a value, and Invalid for what is null in JSON.
func kindOf(value any) reflect.Kind {
	v := reflect.ValueOf(value)
	if kind := v.Kind(); (kind == reflect.Map || kind == reflect.Slice) && v.IsNil() {
		return reflect.Invalid
	}
	return v.Kind()
}

// statusOf returns the status that Vault makes of the answer.
func statusOf(op logical.Operation, resp *logical.Response) int {
	if resp == nil {
		return http.StatusNoContent
	}
	if status, ok := resp.Data[logical.HTTPStatusCode].(int); ok {
		return status
	}
	if op == logical.ListOperation && resp.Data["keys"] == nil {
		return http.StatusNotFound // an empty list
	}
	return http.StatusOK
}

// bodyOf returns what a client finds in the answer: of a raw one its JSON, if it
// is any.
func bodyOf(t *testing.T, resp *logical.Response) (body map[string]any) {
	t.Helper()
	if resp == nil {
		return nil
	}
	text, raw := resp.Data[logical.HTTPRawBody].([]byte)
	if !raw || resp.Data[logical.HTTPContentType] != "application/json" {
		return resp.Data
	}
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatal(err)
	}
	return body
}

// answered are the fields and statuses that some answer had.
var answered sync.Map

// Main runs a package's tests, and checks in the end that the answers to them had
// everything that the schemas promise.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 && everyTest() {
		for _, promise := range unanswered() {
			fmt.Fprintln(os.Stderr, "documented, and in no answer to any test:", promise)
			code = 1
		}
	}
	os.Exit(code)
}

// everyTest reports whether the run leaves no test out.
func everyTest() bool {
	for _, name := range []string{"run", "skip", "list", "fuzz", "bench"} {
		if flag.Lookup("test."+name).Value.String() != "" {
			return false
		}
	}
	return !testing.Short()
}

// unanswered returns what the schemas promise and no answer had.
func unanswered() []string {
	b, err := backend.New(context.Background(), &logical.BackendConfig{StorageView: &logical.InmemStorage{}, System: SystemView()}, backend.Options{})
	if err != nil {
		return []string{err.Error()}
	}
	missing := map[string]bool{}
	for _, p := range b.Paths {
		for op, handler := range p.Operations {
			for status, responses := range handler.Properties().Responses {
				if status >= http.StatusBadRequest {
					continue // a refusal is an error, and no answer
				}
				missing[promise(op, p, status)] = true
				for name, field := range responses[0].Fields {
					missing[name+": "+field.Description] = true
				}
			}
		}
	}
	answered.Range(func(key, _ any) bool {
		delete(missing, key.(string))
		return true
	})
	return slices.Sorted(maps.Keys(missing))
}

// promise names a status of an operation. The framework anchors patterns at their
// first use.
func promise(op logical.Operation, p *framework.Path, status int) string {
	return fmt.Sprintf("%s %s, status %d", op, strings.Trim(p.Pattern, "^$"), status)
}

package examples_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

const (
	moduleDir      = "terraform"
	providerSchema = "../testdata/schema/terraform-provider-vault.json"
)

// A module is the example as Terraform reads it, without Terraform and the provider: declarations are checked against the
// schema, and expressions are evaluated with the known arguments of other resources.
type module struct {
	schema    map[string]map[string]argument
	changed   bool
	variables map[string]*hcl.Block
	blocks    map[string]*hcl.Block // resources, by type.name
	resources map[string]map[string]cty.Value
	errs      hcl.Diagnostics
}

type argument struct {
	Type     json.RawMessage
	Required bool
}

func (a argument) cty() cty.Type {
	typ, err := ctyjson.UnmarshalType(a.Type)
	if err != nil {
		panic(err)
	}
	return typ
}

// parseModule reads the example, with its text changed if change is given.
func parseModule(t *testing.T, change func(string) string) *module {
	t.Helper()
	m := &module{schema: map[string]map[string]argument{}, variables: map[string]*hcl.Block{}, blocks: map[string]*hcl.Block{}, resources: map[string]map[string]cty.Value{}}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(read(t, providerSchema)), &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "$comment")
	for resource, arguments := range all {
		var known map[string]argument
		if err := json.Unmarshal(arguments, &known); err != nil {
			t.Fatal(err)
		}
		m.schema[resource] = known
	}
	files, err := filepath.Glob(filepath.Join(moduleDir, "*.tf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text := read(t, file)
		if change != nil {
			changed := change(text)
			m.changed, text = m.changed || changed != text, changed
		}
		f, errs := hclsyntax.ParseConfig([]byte(text), file, hcl.InitialPos)
		if errs.HasErrors() {
			t.Fatal(errs)
		}
		m.declare(f.Body)
	}
	return m
}

func (m *module) declare(body hcl.Body) {
	content, errs := body.Content(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "terraform"}, {Type: "provider", LabelNames: []string{"name"}},
		{Type: "variable", LabelNames: []string{"name"}}, {Type: "resource", LabelNames: []string{"type", "name"}},
	}})
	m.errs = append(m.errs, errs...)
	for _, block := range content.Blocks {
		switch block.Type {
		case "variable":
			m.variables[block.Labels[0]] = block
		case "resource":
			m.blocks[block.Labels[0]+"."+block.Labels[1]] = block
		}
	}
}

// evaluate sets the variables and evaluates all resources, twice: the second time the arguments of the other resources are
// known.
func (m *module) evaluate(filled map[string]cty.Value) hcl.Diagnostics {
	errs := m.errs
	vars := map[string]cty.Value{}
	for name, block := range m.variables {
		value, bad := variable(block, filled[name])
		vars[name], errs = value, append(errs, bad...)
	}
	for name, block := range m.variables {
		errs = append(errs, validate(block, vars[name])...)
	}
	for range 2 {
		scope := &hcl.EvalContext{Functions: functions, Variables: m.others()}
		scope.Variables["var"] = cty.ObjectVal(vars)
		scope.Variables["path"] = cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(moduleDir)})
		for name, block := range m.blocks {
			values, bad := m.resource(block, scope)
			m.resources[name], errs = values, append(errs, bad...)
		}
	}
	return errs
}

// others returns the known arguments of the resources, for expressions that refer to them.
func (m *module) others() map[string]cty.Value {
	byType := map[string]map[string]cty.Value{}
	for name, block := range m.blocks {
		typ := block.Labels[0]
		attributes := map[string]cty.Value{"id": cty.UnknownVal(cty.String)}
		for argument, about := range m.schema[typ] {
			attributes[argument] = cty.UnknownVal(about.cty())
		}
		maps.Copy(attributes, m.resources[name])
		if byType[typ] == nil {
			byType[typ] = map[string]cty.Value{}
		}
		byType[typ][block.Labels[1]] = cty.ObjectVal(attributes)
	}
	scope := map[string]cty.Value{}
	for typ, named := range byType {
		scope[typ] = cty.ObjectVal(named)
	}
	return scope
}

// resource evaluates a resource's arguments and converts them to the provider's types. With for_each it evaluates each
// instance, and returns the last.
func (m *module) resource(block *hcl.Block, scope *hcl.EvalContext) (map[string]cty.Value, hcl.Diagnostics) {
	known, ok := m.schema[block.Labels[0]]
	if !ok {
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "no such resource", Subject: &block.DefRange}}
	}
	schema := &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "for_each"}}, Blocks: []hcl.BlockHeaderSchema{{Type: "lifecycle"}}}
	for name, about := range known {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name, Required: about.Required})
	}
	content, errs := block.Body.Content(schema)
	if errs.HasErrors() {
		return nil, errs
	}
	each := []cty.Value{cty.NilVal}
	if forEach := content.Attributes["for_each"]; forEach != nil {
		delete(content.Attributes, "for_each")
		value, bad := forEach.Expr.Value(scope)
		if bad.HasErrors() {
			return nil, bad
		}
		each = nil
		for key, value := range value.Elements() {
			each = append(each, cty.ObjectVal(map[string]cty.Value{"key": key, "value": value}))
		}
	}
	values := map[string]cty.Value{}
	for _, one := range each {
		inner := scope.NewChild()
		if one != cty.NilVal {
			inner.Variables = map[string]cty.Value{"each": one}
		}
		for name, attribute := range content.Attributes {
			value, bad := attribute.Expr.Value(inner)
			errs = append(errs, bad...)
			converted, err := convert.Convert(value, known[name].cty())
			if err != nil {
				errs = append(errs, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: err.Error(), Subject: &attribute.Range})
			}
			values[name] = converted
		}
	}
	return values, errs
}

// variable converts a value to the variable's type, or returns its default.
func variable(block *hcl.Block, filled cty.Value) (cty.Value, hcl.Diagnostics) {
	content, errs := variableContent(block)
	if errs.HasErrors() {
		return cty.DynamicVal, errs
	}
	typ, errs := typeexpr.TypeConstraint(content.Attributes["type"].Expr)
	if filled == cty.NilVal && content.Attributes["default"] != nil {
		value, bad := content.Attributes["default"].Expr.Value(nil)
		filled, errs = value, append(errs, bad...)
	}
	if filled == cty.NilVal {
		return cty.UnknownVal(typ), append(errs, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "the test says nothing of this variable", Subject: &block.DefRange})
	}
	value, err := convert.Convert(filled, typ)
	if err != nil {
		errs = append(errs, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: err.Error(), Subject: &block.DefRange})
	}
	return value, errs
}

func variableContent(block *hcl.Block) (*hcl.BodyContent, hcl.Diagnostics) {
	return block.Body.Content(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "description", Required: true}, {Name: "type", Required: true}, {Name: "default"}, {Name: "sensitive"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
	})
}

func validate(block *hcl.Block, value cty.Value) (errs hcl.Diagnostics) {
	content, errs := variableContent(block)
	for _, validation := range content.Blocks {
		rule, bad := validation.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "condition", Required: true}, {Name: "error_message", Required: true}}})
		if errs = append(errs, bad...); bad.HasErrors() {
			continue
		}
		holds, bad := rule.Attributes["condition"].Expr.Value(&hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
			"var": cty.ObjectVal(map[string]cty.Value{block.Labels[0]: value}),
		}})
		if errs = append(errs, bad...); !bad.HasErrors() && holds.False() {
			errs = append(errs, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "the variable is not valid", Subject: &validation.DefRange})
		}
	}
	return errs
}

// functions has Terraform's functions that the example calls.
var functions = map[string]function.Function{
	"can": tryfunc.CanFunc, "jsonencode": stdlib.JSONEncodeFunc, "merge": stdlib.MergeFunc, "regex": stdlib.RegexFunc,
	"alltrue": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			for _, value := range args[0].Elements() {
				if value.False() {
					return cty.False, nil
				}
			}
			return cty.True, nil
		},
	}),
	"file": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text, err := os.ReadFile(args[0].AsString())
			return cty.StringVal(string(text)), err
		},
	}),
}

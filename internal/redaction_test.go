package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A structType is a struct of the engine, by "package.Name".
type structType struct {
	name   string
	fields *ast.FieldList
}

// engineTypes reads the structs of the engine from its source.
func engineTypes(t *testing.T) (structs []structType) {
	t.Helper()
	for _, dir := range []string{".", "../paths", "../backend"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "canary") || strings.HasPrefix(path, "vaulttest") || strings.HasPrefix(path, "enginetest") || strings.HasPrefix(path, "provider/providertest") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if n, ok := n.(*ast.TypeSpec); ok {
					if s, ok := n.Type.(*ast.StructType); ok {
						structs = append(structs, structType{file.Name.Name + "." + n.Name.Name, s.Fields})
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return structs
}

// nameIn is the name of the type that e is made of, or "".
func nameIn(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.ArrayType:
		return nameIn(e.Elt)
	case *ast.MapType:
		return nameIn(e.Value)
	}
	return ""
}

// secretField is what a field is called that holds a secret.
var secretField = regexp.MustCompile(`(?i)^(.*(token|secret|verifier|nonce|password|connectkey|state)|code|former)$`)

// plain are the structs that have a secret in a plain string: as it travels,
// or as it is sealed. They are made in the call that sends, parses or seals
// them, and are neither kept nor printed.
var plain = map[string][]string{
	"facebook.listedPage":    {"AccessToken"},
	"facebook.tokenAnswer":   {"AccessToken"},
	"store.configAtRest":     {"ClientSecret", "FormerSecret", "ClientToken"},
	"store.sessionAtRest":    {"Verifier", "Nonce", "ConnectKey", "Code", "AccessToken", "RefreshToken"},
	"store.credentialAtRest": {"AccessToken", "RefreshToken", "FormerToken"},
	"store.formerAtRest":     {"AccessToken", "RefreshToken"},
}

func TestASecretIsInNoPlainString(t *testing.T) {
	structs := engineTypes(t)
	found := map[string][]string{}
	for _, s := range structs {
		ast.Inspect(s.fields, func(n ast.Node) bool {
			f, ok := n.(*ast.Field)
			if !ok || nameIn(f.Type) != "string" && nameIn(f.Type) != "byte" {
				return true
			}
			for _, name := range f.Names {
				if secretField.MatchString(name.Name) {
					found[s.name] = append(found[s.name], name.Name)
				}
			}
			return true
		})
	}
	for name, fields := range found {
		for _, field := range fields {
			if !slices.Contains(plain[name], field) {
				t.Errorf("%s has a plain string in its field %s: make it an oauth.Secret, or say here why not", name, field)
			}
		}
	}
	for name, fields := range plain {
		for _, field := range fields {
			if !slices.Contains(found[name], field) {
				t.Errorf("%s has no plain string in a field %s any more", name, field)
			}
		}
	}
}

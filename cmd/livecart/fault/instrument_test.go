package fault

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// All mutants of Go code are in one binary, since a build for each would take longer than all cases
// together. A function that a mutant edits begins by asking which mutant the process is, by the name of
// its binary, and runs that mutant's copy of itself.

// whichMutant is a file of its own in each package that mutants edit.
const whichMutant = `package %s

import (
	"os"
	"path/filepath"
)

var theMutant = filepath.Base(os.Args[0])
`

// instrumented returns the changed and the new files, by their paths, of a source with every mutant in it.
func instrumented(mutants []mutant) (map[string]string, error) {
	edits := map[string]map[string][]edit{} // of each file, by mutant
	for _, m := range mutants {
		for _, e := range m.edits {
			if e.embedded() {
				continue
			}
			path, err := sourcePath(e.file)
			if err != nil {
				return nil, err
			}
			if edits[path] == nil {
				edits[path] = map[string][]edit{}
			}
			edits[path][m.name] = append(edits[path][m.name], e)
		}
	}
	files := map[string]string{}
	for path, edits := range edits {
		source, err := readSource(path)
		if err != nil {
			return nil, err
		}
		text, pkg, err := instrument(source, edits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files[path] = text
		files[filepath.Join(filepath.Dir(path), "which_mutant.go")] = fmt.Sprintf(whichMutant, pkg)
	}
	return files, nil
}

// instrument adds the mutants of one file.
func instrument(source string, edits map[string][]edit) (text, pkg string, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, parser.SkipObjectResolution)
	if err != nil {
		return "", "", err
	}
	mutated := map[*ast.FuncDecl]map[string][]edit{}
	for mutant, edits := range edits {
		for _, e := range edits {
			at, err := e.place(source)
			if err != nil {
				return "", "", err
			}
			fn := functionAround(files, file, at, at+len(e.old))
			if fn == nil {
				return "", "", fmt.Errorf("mutant %s edits what is in no function: %s", mutant, e.old)
			}
			if mutated[fn] == nil {
				mutated[fn] = map[string][]edit{}
			}
			mutated[fn][mutant] = append(mutated[fn][mutant], e)
		}
	}
	offset := func(p token.Pos) int { return files.Position(p).Offset }
	var copies strings.Builder
	last := func(x, y *ast.FuncDecl) int { return cmp.Compare(y.Pos(), x.Pos()) }
	for _, fn := range slices.SortedFunc(maps.Keys(mutated), last) { // the last first: offsets before it stay
		var choice strings.Builder
		choice.WriteString("\n\tswitch theMutant {\n")
		for _, mutant := range slices.Sorted(maps.Keys(mutated[fn])) {
			name := fn.Name.Name + "_" + mutant
			call, err := callOf(fn, name)
			if err != nil {
				return "", "", err
			}
			fmt.Fprintf(&choice, "\tcase %q:\n\t\t%s\n", mutant, call)
			body := source[offset(fn.Name.End()):offset(fn.End())]
			for _, e := range mutated[fn][mutant] {
				body = strings.Replace(body, e.old, e.new, 1)
			}
			fmt.Fprintf(&copies, "\n%s%s%s\n", source[offset(fn.Pos()):offset(fn.Name.Pos())], name, body)
		}
		choice.WriteString("\t}\n")
		begin := offset(fn.Body.Lbrace) + 1
		source = source[:begin] + choice.String() + source[begin:]
	}
	return source + copies.String(), file.Name.Name, nil
}

// functionAround returns the function whose declaration holds a part of its file, nil where none does.
func functionAround(files *token.FileSet, file *ast.File, from, to int) *ast.FuncDecl {
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && files.Position(fn.Body.Pos()).Offset < from && to < files.Position(fn.End()).Offset {
			return fn
		}
	}
	return nil
}

// callOf is the statement by which a function hands over to another with its own receiver and parameters.
func callOf(fn *ast.FuncDecl, to string) (string, error) {
	var args []string
	for _, p := range fn.Type.Params.List {
		for _, name := range p.Names {
			arg := name.Name
			if _, variadic := p.Type.(*ast.Ellipsis); variadic {
				arg += "..."
			}
			args = append(args, arg)
		}
		if len(p.Names) == 0 {
			args = append(args, "_")
		}
	}
	if fn.Recv != nil {
		if len(fn.Recv.List[0].Names) == 0 {
			return "", fmt.Errorf("the receiver of %s has no name", fn.Name)
		}
		to = fn.Recv.List[0].Names[0].Name + "." + to
	}
	if slices.Contains(args, "_") || fn.Type.TypeParams != nil {
		return "", fmt.Errorf("%s has a parameter without a name, or of a type to be named", fn.Name)
	}
	call := to + "(" + strings.Join(args, ", ") + ")"
	if fn.Type.Results == nil {
		return call + "\n\t\treturn", nil
	}
	return "return " + call, nil
}

import Foundation
import Testing

/// The completions that the program writes, in a real bash.
@Suite struct CompletionTests {
    /// What is offered for each command line's last word, which may be empty.
    private func offered(_ line: [String], files: [String] = []) async throws -> Set<String> {
        let script = """
            set -e
            "$PROGRAM" --generate-completion-script bash >completions.bash
            source ./completions.bash
            complete -p millrace | grep -q -- '-F _millrace millrace'
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
            set +e
            _millrace millrace "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let result = try await Program.run(
            ["bash", "--norc", "-c", script, "bash"] + line, environment: ["PROGRAM": Program.path], files: files)
        #expect(result.status == 0 && result.errors.isEmpty, "\(result)")
        return Set(result.output.split(separator: "\n").map(String.init))
    }

    @Test func commandsAreOffered() async throws {
        #expect(try await offered(["millrace", "qu"]) == ["quality", "quarantine", "query"])
        #expect(try await offered(["millrace", "quarantine", "re"]) == ["replay"])
        #expect(try await offered(["millrace", "nonsense"]) == [])
    }

    @Test func optionsAndTheirWordsAreOffered() async throws {
        #expect(try await offered(["millrace", "run", "--st"]) == ["--strict", "--standby"])
        #expect(try await offered(["millrace", "release", "--as", ""]) == ["redelivery", "new-epoch"])
        #expect(try await offered(["millrace", "query", "select 1", "--format", "js"]) == ["json", "jsonl"])
    }

    @Test func pipelineFilesAreOffered() async throws {
        let files = ["shop.yaml", "stock.yml", "shop.duckdb", "notes.txt"]
        #expect(try await offered(["millrace", "run", "-c", ""], files: files) == ["shop.yaml", "stock.yml"])
        #expect(try await offered(["millrace", "run", "-c", "sh"], files: files) == ["shop.yaml"])
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func aShellHasAScript(shell: String) async throws {
        let result = try await Program.millrace(["--generate-completion-script", shell])
        #expect(result.status == 0 && result.errors == "" && result.output.contains("quarantine"))
    }
}

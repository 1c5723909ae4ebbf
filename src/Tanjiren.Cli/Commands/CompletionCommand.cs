using System.CommandLine;

using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands;

/// <summary>
/// <c>completion SHELL</c>: prints a script that asks this program, at each Tab, what fits: the <c>[suggest]</c> directive of System.CommandLine answers from the
/// command tree, so the scripts never fall behind it.
/// </summary>
internal static class CompletionCommand
{
    private static readonly IReadOnlyDictionary<string, string> Scripts = new Dictionary<string, string>
    {
        ["bash"] = """
            # tanvrit-compute completion for bash
            _tanvrit_compute() {
                local found
                found=$(tanvrit-compute "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null)
                COMPREPLY=($(compgen -W "${found}" -- "${COMP_WORDS[COMP_CWORD]}"))
            }
            complete -o default -F _tanvrit_compute tanvrit-compute

            """,
        ["zsh"] = """
            #compdef tanvrit-compute
            # tanvrit-compute completion for zsh
            _tanvrit_compute() {
                local -a found
                found=(${(f)"$(tanvrit-compute "[suggest:${CURSOR}]" "${BUFFER}" 2>/dev/null)"})
                if (( ${#found} )); then compadd -a found; else _files; fi
            }
            compdef _tanvrit_compute tanvrit-compute

            """,
        ["fish"] = """
            # tanvrit-compute completion for fish
            function _tanvrit_compute
                set --local line (commandline --cut-at-cursor --current-process | string collect)
                tanvrit-compute "[suggest:"(string length -- $line)"]" $line 2>/dev/null
            end
            complete --command tanvrit-compute --arguments '(_tanvrit_compute)'

            """,
        ["powershell"] = """
            # tanvrit-compute completion for PowerShell
            Register-ArgumentCompleter -Native -CommandName tanvrit-compute -ScriptBlock {
                param($wordToComplete, $commandAst, $cursorPosition)
                tanvrit-compute "[suggest:$cursorPosition]" "$commandAst" | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
                    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
                }
            }

            """,
    };

    public static CliCommand Create(CliContext cli)
    {
        var shell = new Argument<string>("SHELL") { Description = string.Join(", ", Scripts.Keys) };
        shell.CompletionSources.Add([.. Scripts.Keys]);
        var command = new CliCommand("completion", "Print a script that completes commands and options in your shell")
        {
            Arguments = { shell },
            Details = "It asks the tanvrit-compute on your PATH at each Tab, so it stays right when the program is updated.",
            Examples =
            [
                "source <(tanvrit-compute completion bash)    # in ~/.bashrc",
                "source <(tanvrit-compute completion zsh)    # in ~/.zshrc, after compinit",
                "tanvrit-compute completion fish > ~/.config/fish/completions/tanvrit-compute.fish",
            ],
        };
        command.SetAction(parse =>
        {
            var name = parse.GetValue(shell)!;
            if (!Scripts.TryGetValue(name, out var script)) throw new CliException($"there is no completion for '{Text.Safe(name)}'", $"name one of {string.Join(", ", Scripts.Keys)}");
            cli.Out.Write(script);
            return ExitCode.Ok;
        });
        return command;
    }
}

using System.Runtime.CompilerServices;
using System.Text.Json;

using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.CodingAgents;

/// <summary>
/// The real coding agents of <c>tests/agents</c>, as npm installed them, and what each needs to take the stand-in for its model: a home of its own, a dummy key, and telemetry
/// and updates off. Only loopback is reached by what is configured here.
/// </summary>
internal static class CodingAgentKit
{
    private static readonly string[] Providers = ["standin"];

    /// <summary>Programs of <c>tests/agents</c> come first on the agents' PATH: they are detected there by name.</summary>
    public static IReadOnlyDictionary<string, string?> AgentEnvironment()
    {
        Prerequisite.Program("node");
        // OpenCode's package for a platform has no entry there.
        string[] directories = [Installed(".bin"), Installed(Path.Combine("opencode-linux-x64-baseline", "bin"))];
        // The others carry theirs with them, as packages that npm leaves out without a word when they do not come.
        foreach (var directory in (string[])[.. directories, Installed(Path.Combine("@openai", "codex-linux-x64")), Installed(Path.Combine("@anthropic-ai", "claude-agent-sdk-linux-x64"))])
            Prerequisite.Require(Directory.Exists(directory), $"{directory} (`npm ci --ignore-scripts` in tests/agents)");
        return new Dictionary<string, string?> { ["PATH"] = string.Join(Path.PathSeparator, [.. directories, Environment.GetEnvironmentVariable("PATH")]) };
    }

    /// <summary>
    /// One that asks before it does anything, and one that does not (<c>NAME-free</c>), of each. Opencode has no modes: its configuration says it.
    /// </summary>
    public static string AgentYaml() => """
        codingAgents:
          claude: { command: [claude-agent-acp], mode: default }
          claude-free: { command: [claude-agent-acp], mode: bypassPermissions }
          codex: { command: [codex-acp], mode: read-only }
          codex-free: { command: [codex-acp], mode: agent-full-access }
          opencode: { command: [opencode, acp] }
          opencode-free: { command: [opencode, acp] }

        """;

    /// <summary>Makes a home for one run and says which variables its task sets.</summary>
    public static Dictionary<string, string> Prepare(string agent, string home, string modelUrl)
    {
        Directory.CreateDirectory(home);
        var variables = new Dictionary<string, string>
        {
            ["HOME"] = home, ["NO_PROXY"] = "127.0.0.1,localhost", ["XDG_CONFIG_HOME"] = Path.Combine(home, ".config"), ["XDG_DATA_HOME"] = Path.Combine(home, ".local"),
        };
        var isFree = agent.EndsWith("-free", StringComparison.Ordinal);
        switch (agent.Split('-')[0])
        {
            case "claude":
                variables["ANTHROPIC_BASE_URL"] = modelUrl;
                variables["ANTHROPIC_API_KEY"] = "sk-ant-none";
                foreach (var name in new[] { "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_AUTOUPDATER", "DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "IS_SANDBOX" }) variables[name] = "1";
                break;
            case "codex":
                // A model that it knows: others are offered no tool for patches, and newer ones all tools in one.
                variables["CODEX_HOME"] = Path.Combine(home, ".codex");
                variables["OPENAI_API_KEY"] = "sk-none";
                variables["MODEL_PROVIDER"] = "standin";
                Write(Path.Combine(home, ".codex", "config.toml"), $"""
                    model = "gpt-5.5"
                    model_provider = "standin"

                    [model_providers.standin]
                    name = "standin"
                    base_url = "{modelUrl}/v1"
                    wire_api = "responses"
                    env_key = "OPENAI_API_KEY"

                    """);
                break;
            default:
                var permission = isFree ? "allow" : "ask";
                Write(Path.Combine(home, ".config", "opencode", "opencode.json"), JsonSerializer.Serialize(new
                {
                    autoupdate = false,
                    share = "disabled",
                    model = "standin/standin",
                    small_model = "standin/standin",
                    enabled_providers = Providers,
                    permission = new { edit = permission, bash = permission },
                    provider = new
                    {
                        standin = new
                        {
                            npm = "@ai-sdk/openai-compatible",
                            name = "standin",
                            options = new { baseURL = modelUrl + "/v1", apiKey = "none" },
                            models = new { standin = new { name = "standin" } },
                        },
                    },
                }));
                break;
        }
        return variables;
    }

    private static void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }

    private static string Installed(string package, [CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "agents", "node_modules", package));
}

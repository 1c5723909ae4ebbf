using Tanjiren.Protocol;

namespace Tanjiren.Server.Governance;

/// <content>Rules about what coding agents ask while they run.</content>
internal sealed partial class DoctrineReader
{
    private DoctrineRule ReadPermission(YamlFields fields, DoctrineRule rule)
    {
        var effect = Word(fields, "answer", required: true, ("allow", RuleEffect.AllowTool), ("deny", RuleEffect.DenyTool), ("ask", RuleEffect.AskForTool));
        return rule with { Effect = effect, When = ReadToolCondition(fields, effect == RuleEffect.AllowTool ? Whole : Anywhere) };
    }

    /// <summary>A rule that allows must know all of what it allows: <c>git status</c> found somewhere in <c>git status; rm -r .</c> is no reason to.</summary>
    private static string Whole(string pattern) => $@"\A(?:{pattern})\z";

    private RuleCondition ReadToolCondition(YamlFields fields, Func<string, string> asMatched)
    {
        if (fields["when"] is not { } node || node is YamlText { IsNothing: true })
        {
            Fault(fields.Part, "when is required: what the rule is for");
            return RuleCondition.Always;
        }
        if (Fields(node, "tool", "pattern", "agent", "tags", "role", "origin") is not { } conditions) return RuleCondition.Always;
        var condition = new RuleCondition
        {
            Tools = Values<string>(conditions, "tool", ReadTool),
            Patterns = Values<Pattern>(conditions, "pattern", (value, patterns) => ReadPattern(value, patterns, _toolPatterns, asMatched)),
            CodingAgents = Values<string>(conditions, "agent", ReadCodingAgent),
            Tags = Values<string>(conditions, "tags", ReadTag),
            Roles = Values<Role>(conditions, "role", ReadMember),
            Origins = Values<DoctrineOrigin>(conditions, "origin", ReadMember),
        };
        if (condition.IsAlways) Fault(node, "when needs a condition: tool, pattern, agent, tags, role or origin");
        return condition;
    }

    private void ReadTool(YamlText value, List<string> tools)
    {
        if (ToolKinds.All.Contains(value.Value)) tools.Add(value.Value);
        else Fault(value, $"must be one of {string.Join(", ", ToolKinds.All)}");
    }

    private void ReadCodingAgent(YamlText value, List<string> names)
    {
        if (CodingAgentName.IsValid(value.Value)) names.Add(value.Value);
        else Fault(value, $"is no name of a coding agent: it {CodingAgentName.Rule}");
    }
}

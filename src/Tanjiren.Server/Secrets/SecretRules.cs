using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Secrets;

/// <summary>What may be a secret of a task. Pure. No message has a value in it.</summary>
internal static class SecretRules
{
    public static void Check(CreateTaskRequest request, FieldErrors errors)
    {
        if (request.Secrets is not { } secrets) return;
        errors.Require(secrets.Count <= WireLimits.MaxSecrets, "secrets", $"has {secrets.Count} entries; at most {WireLimits.MaxSecrets} are allowed");
        foreach (var (name, value) in secrets.Take(WireLimits.MaxSecrets))
        {
            TaskRequestRules.CheckName(name, $"secrets.{name}", errors);
            errors.Require(value is not null && !value.Contains('\0'), $"secrets.{name}", "must be text without a NUL character");
            errors.Require(Bytes(value) <= WireLimits.MaxSecretBytes, $"secrets.{name}", $"has more than {WireLimits.MaxSecretBytes} bytes");
            errors.Require(request.Environment?.ContainsKey(name) != true && request.EnvironmentFromMachine?.Contains(name) != true, $"secrets.{name}",
                "is in environment or environmentFromMachine too; a variable has one value");
        }
        errors.Require(secrets.Take(WireLimits.MaxSecrets).Sum(s => Bytes(s.Key) + Bytes(s.Value) + 2) <= WireLimits.MaxCommandBytes, "secrets", $"has more than {WireLimits.MaxCommandBytes} bytes in all");
    }

    /// <summary>What is stored of them with the task: each name, with an empty text. In order, for an approval is bound to the stored text.</summary>
    public static IReadOnlyDictionary<string, string>? NamesOnly(IReadOnlyDictionary<string, string>? secrets) =>
        secrets is not { Count: > 0 } ? null : secrets.Keys.Order(StringComparer.Ordinal).ToDictionary(name => name, _ => "");

    public static IReadOnlyList<string>? NamesOf(CreateTaskRequest stored) => stored.Secrets is { Count: > 0 } secrets ? [.. secrets.Keys] : null;

    private static int Bytes(string? text) => text is null ? 0 : Encoding.UTF8.GetByteCount(text);
}

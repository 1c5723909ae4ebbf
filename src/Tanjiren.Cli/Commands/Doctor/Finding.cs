using System.Text.Json;
using System.Text.Json.Serialization;

using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Doctor;

[JsonConverter(typeof(CamelCaseEnum<Verdict>))]
internal enum Verdict
{
    Ok,
    /// <summary>It works, but less well than it could, or nobody asked for it yet.</summary>
    Warning,
    /// <summary>It does not work until somebody does something.</summary>
    Problem,
}

/// <summary>What one check found, and what to do about it.</summary>
internal sealed record Finding
{
    public required string Check { get; init; }
    public required Verdict Verdict { get; init; }
    public required string Message { get; init; }
    /// <summary>The next step; absent when there is none to take.</summary>
    public string? Advice { get; init; }

    public static Finding Ok(string check, string message) => new() { Check = check, Verdict = Verdict.Ok, Message = message };

    public static Finding Warning(string check, string message, string advice) => new() { Check = check, Verdict = Verdict.Warning, Message = message, Advice = advice };

    public static Finding Problem(string check, string message, string advice) => new() { Check = check, Verdict = Verdict.Problem, Message = message, Advice = advice };
}

/// <summary><c>doctor --json</c>.</summary>
internal sealed record DoctorReport
{
    public required int Problems { get; init; }
    public required int Warnings { get; init; }
    public required IReadOnlyList<Finding> Findings { get; init; }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(DoctorReport))]
internal sealed partial class DoctorJson : JsonSerializerContext;

namespace Tanjiren.EndToEnd.Tests.CodingAgents.Models;

/// <summary>What the scripted model does at one point of a conversation. Which point it is, the request says: so many tools have answered.</summary>
internal abstract record ModelTurn
{
    /// <summary>Says it, word by word, and ends its turn.</summary>
    public static ModelTurn Say(string text) => new SayTurn(text);

    /// <summary>Says it and then nothing, with the connection open, until whoever asked has gone.</summary>
    public static ModelTurn Hang(string text) => new HangTurn(text);

    /// <summary>Says it and breaks the connection in the middle of the answer.</summary>
    public static ModelTurn Cut(string text) => new CutTurn(text);

    /// <summary>Is answered with an error instead.</summary>
    public static ModelTurn Fail(int status) => new FailTurn(status);

    /// <summary>Wants a command run, with whichever tool the agent offers for that.</summary>
    public static ModelTurn Run(string command) => new RunTurn(command);

    /// <summary>Wants a new file, with whichever tool the agent offers for that.</summary>
    public static ModelTurn Write(string path, string content) => new WriteTurn(path, content);
}

internal sealed record SayTurn(string Text) : ModelTurn;

internal sealed record HangTurn(string Text) : ModelTurn;

internal sealed record CutTurn(string Text) : ModelTurn;

internal sealed record FailTurn(int Status) : ModelTurn;

internal sealed record RunTurn(string Command) : ModelTurn;

internal sealed record WriteTurn(string Path, string Content) : ModelTurn;

using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Tanjiren.Cli.Jobs;

/// <param name="About">What the questions are about; null: it is not said.</param>
/// <param name="Questions">In their order, each with a name.</param>
internal sealed record QuestionList(string? About, IReadOnlyList<TaskQuestion> Questions);

/// <summary>
/// The questions of an investigation as people write them, in YAML: <c>about</c> and <c>questions</c>, or the questions alone; each a text, or name, text, form and fields. What is wrong is told with its
/// line and column, the first fault only. Read event by event: no form of it is nested more deeply than this code.
/// </summary>
internal sealed class QuestionsFile
{
    private static readonly Dictionary<string, AnswerForm> Forms = Enum.GetValues<AnswerForm>().ToDictionary(f => Words.Of(f), f => f);

    private readonly IParser parser;
    private readonly List<TaskQuestion> questions = [];
    private readonly HashSet<string> names = new(StringComparer.OrdinalIgnoreCase);
    private string? about;

    private QuestionsFile(string text) => parser = new Parser(new StringReader(text));

    /// <param name="text">The file.</param>
    /// <param name="where">What it is called in messages.</param>
    public static QuestionList Read(string text, string where)
    {
        try
        {
            var file = new QuestionsFile(text);
            file.ReadDocument();
            return new QuestionList(file.about, file.questions);
        }
        catch (YamlException e)
        {
            throw Fault(where, Math.Max(1, e.Start.Line), Math.Max(1, e.Start.Column), e.Message, e);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException or InvalidOperationException or EndOfStreamException)
        {
            // The library's scanner has a few ways to fail over nonsense without saying where.
            throw Fault(where, 1, 1, "this can't be read as YAML", e);
        }
    }

    private static CliException Fault(string where, long line, long column, string message, Exception inner) =>
        new($"{where}, line {line}, column {column}: {Text.Safe(message.TrimEnd('.', ' '))}", "docs/cli.md shows such a file under `jobs run`", inner);

    private void ReadDocument()
    {
        parser.Consume<StreamStart>();
        if (parser.Accept<StreamEnd>(out var nothing)) throw At(nothing, "there are no questions");
        parser.Consume<DocumentStart>();
        var root = Here();
        if (root is SequenceStart) ReadQuestions();
        else
        {
            ReadMap("the file", (key, at) =>
            {
                if (key == "about") about = ReadText("about");
                else if (key == "questions") ReadQuestions();
                else throw At(at, $"'{key}' is no key of the file: about, questions");
            });
        }
        if (questions.Count == 0) throw At(root, "there are no questions");
        parser.Consume<DocumentEnd>();
        if (!parser.Accept<StreamEnd>(out _)) throw At(parser.Current!, "a second document begins here; keep one");
    }

    private void ReadQuestions() => ReadList("questions", () =>
    {
        var at = Here();
        if (questions.Count == WireLimits.MaxQuestions) throw At(at, $"there are more than {WireLimits.MaxQuestions} questions");
        var question = at is Scalar ? new TaskQuestion { Text = ReadText("a question") } : ReadQuestion(at);
        question = question with { Name = question.Name ?? $"q{questions.Count + 1}" };
        if (!names.Add(question.Name!)) throw At(at, $"'{question.Name}' is the name of another question");
        questions.Add(question);
    });

    private TaskQuestion ReadQuestion(ParsingEvent at)
    {
        var question = new TaskQuestion();
        ReadMap("a question", (key, place) =>
        {
            question = key switch
            {
                "name" => question with { Name = ReadName("a question's name", AnswerForms.NameRule) },
                "text" => question with { Text = ReadText("text") },
                "form" => question with { Form = ReadForm() },
                "fields" => question with { Fields = ReadFields() },
                _ => throw At(place, $"'{key}' is no key of a question: name, text, form, fields"),
            };
        });
        if (question.Text is null) throw At(at, "this question has no text");
        if (question.Form == AnswerForm.Object && question.Fields is null) throw At(at, "a question of the form object has fields");
        if (question.Form != AnswerForm.Object && question.Fields is not null) throw At(at, "only a question of the form object has fields");
        return question;
    }

    private AnswerForm ReadForm()
    {
        var at = Here();
        var word = ReadText("form");
        return Forms.TryGetValue(word, out var form) ? form : throw At(at, $"'{word}' is no form of an answer: {string.Join(", ", Forms.Keys)}");
    }

    private List<string> ReadFields()
    {
        var fields = new List<string>();
        var list = Here();
        ReadList("fields", () =>
        {
            var at = Here();
            var name = ReadName("a field's name", AnswerForms.FieldRule);
            if (fields.Contains(name, StringComparer.Ordinal)) throw At(at, $"the field '{name}' stands here a second time");
            fields.Add(name);
        });
        return fields.Count is > 0 and <= WireLimits.MaxAnswerFields ? fields : throw At(list, $"there are 1 to {WireLimits.MaxAnswerFields} fields");
    }

    private string ReadName(string what, string rule)
    {
        var at = Here();
        var name = ReadText(what);
        return AnswerForms.IsName(name) ? name : throw At(at, $"'{name}' is no name: it {rule}");
    }

    private string ReadText(string what)
    {
        var at = Here();
        if (!parser.TryConsume<Scalar>(out var scalar)) throw At(at, $"{what} must be text");
        if (string.IsNullOrWhiteSpace(scalar.Value) || (scalar.Style == ScalarStyle.Plain && scalar.Value is "~" or "null")) throw At(at, $"{what} is empty");
        return scalar.Value.Contains('\0') ? throw At(at, $"{what} contains a NUL character") : scalar.Value;
    }

    private void ReadList(string what, Action readItem)
    {
        var at = Here();
        if (!parser.TryConsume<SequenceStart>(out _)) throw At(at, $"{what} must be a list");
        while (!parser.TryConsume<SequenceEnd>(out _)) readItem();
    }

    private void ReadMap(string what, Action<string, ParsingEvent> readValue)
    {
        var at = Here();
        if (!parser.TryConsume<MappingStart>(out _)) throw At(at, $"{what} must be a map");
        var keys = new HashSet<string>(StringComparer.Ordinal);
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            var place = Here();
            if (!parser.TryConsume<Scalar>(out var key)) throw At(place, "a key must be a word");
            if (!keys.Add(key.Value)) throw At(place, $"the key '{key.Value}' stands here a second time");
            readValue(key.Value, place);
        }
    }

    /// <summary>The part that comes next; a reader of the file must see what it says, so nothing in it stands for something else.</summary>
    private ParsingEvent Here() => parser.Current switch
    {
        null => throw new InvalidOperationException("The document ended within a part."),
        AnchorAlias alias => throw At(alias, "this is an alias (*); write out what it stands for"),
        NodeEvent { Anchor.IsEmpty: false } node => throw At(node, "this has an anchor (&); there are no aliases here, remove it"),
        NodeEvent { Tag.IsEmpty: false } node => throw At(node, "this has a tag (!); there are none here, remove it"),
        var current => current,
    };

    private static YamlException At(ParsingEvent at, string message) => new(at.Start, at.End, message);
}
